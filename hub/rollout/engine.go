package rollout

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/run"
)

// Store is what the engine needs of the store.
type Store interface {
	// AppsChanged returns the Apps about which something changed since a horizon, those that are due by themselves, and the
	// horizon to ask from next.
	AppsChanged(ctx context.Context, since fleet.Horizon) ([]fleet.Key, fleet.Horizon, error)
	// Looked notes that a hub looks: the time in which none does counts for no clock.
	Looked(ctx context.Context) error
	// NextDue is when the next App is due by itself, by the database's clock; zero: none is.
	NextDue(ctx context.Context) (time.Time, error)
	// Roll loads the App's State, has it decided, and writes the Step, in one transaction. It reports how many rows
	// were written. It may decide more than once; the last Step is the one that was written.
	Roll(ctx context.Context, app fleet.Key, decide func(State) Step) (int, error)
	// Act has a Command carried out.
	Act(ctx context.Context, actor string, app fleet.Key, c Command) (Rollout, error)
	// FinishClusters ends the Terminating clusters that have no Assignment left.
	FinishClusters(ctx context.Context) error
	// PhaseCounts is how many Rollouts there are in each phase that is not final.
	PhaseCounts(ctx context.Context) (map[Phase]int, error)
}

// Checker asks what the gates of Rollouts ask.
type Checker interface {
	// Check asks, and says what was answered. That nobody could be asked is an answer as well: ResultError.
	Check(ctx context.Context, check Check) Measurement
}

// Config is what an Engine needs.
type Config struct {
	Store   Store
	Checker Checker
	// Wake says that something may have changed.
	Wake    run.Wake
	Log     *slog.Logger
	Metrics prometheus.Registerer
	// Period between looks without a wake-up; default 5 s.
	Period time.Duration
	// FullPeriod is how often every App is looked at, changed or not; default 10 minutes.
	FullPeriod time.Duration
}

// Engine keeps Assignments as they should be.
type Engine struct {
	Config
	metrics *metrics
	answers *answers
	horizon fleet.Horizon
	// full is when every App was looked at last.
	full time.Time
	// noted is when the store was told last that a hub looks.
	noted time.Time
	// behind are the Apps to step.
	behind map[fleet.Key]*behind
	// early counts the looks in a row that came too early for what they were made for.
	early int

	mu sync.Mutex
	// ahead is how much later it is by the database's clock than by this machine's.
	ahead time.Duration
}

// behind is an App whose step is to be made, and is not before due if it failed.
type behind struct {
	back   run.Backoff
	due    time.Time
	failed bool
}

const (
	// retryMin and retryMax bound the pauses between tries of one App's step.
	retryMin = time.Second
	retryMax = time.Minute
	// stepsAtOnce is how many Apps are stepped at the same time: one with many clusters holds no other up.
	stepsAtOnce = 4
	// noteEvery is how often the store is told that a hub looks.
	noteEvery = 10 * time.Second
	// briefly is the shortest pause between two looks that nothing woke, and busily the longest while each finds an App that
	// is due.
	briefly = 10 * time.Millisecond
	busily  = 500 * time.Millisecond
)

// New returns an Engine.
func New(config Config) *Engine {
	config.Period = cmp.Or(config.Period, 5*time.Second)
	config.FullPeriod = cmp.Or(config.FullPeriod, 10*time.Minute)
	m := newMetrics(config)
	return &Engine{Config: config, metrics: m, answers: newAnswers(config, m), behind: map[fleet.Key]*behind{}}
}

// Run steps until ctx ends. Checks that are under way then are given up: their Rollouts ask again.
func (e *Engine) Run(ctx context.Context) error {
	defer e.answers.wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-e.Wake:
		case <-timer.C:
		}
		if ctx.Err() != nil {
			return nil
		}
		pause, err := e.look(ctx)
		if err != nil && ctx.Err() == nil {
			e.Log.Error("rollouts not looked at", "err", err)
		}
		timer.Reset(pause)
	}
}

// look steps every App about which something changed since the last look, and those whose turn has come. It returns when
// to look again, if nothing wakes.
func (e *Engine) look(ctx context.Context) (time.Duration, error) {
	now := time.Now()
	pause := run.Jitter(e.Period, 0.1)
	since := e.horizon
	all := now.Sub(e.full) >= e.FullPeriod
	if all {
		since = 0
	}
	if now.Sub(e.noted) >= noteEvery { // before any step: an outage that is over counts for no clock
		if err := e.Store.Looked(ctx); err != nil {
			return pause, err
		}
		e.noted = now
	}
	changed, next, err := e.Store.AppsChanged(ctx, since)
	if err != nil {
		return pause, err
	}
	e.horizon = next
	if all {
		e.full = now
	}
	for _, app := range changed {
		e.owe(app, now)
	}
	if err := e.stepAll(ctx, now); err != nil {
		return pause, err
	}
	if err := e.Store.FinishClusters(ctx); err != nil {
		return pause, err
	}
	due, err := e.Store.NextDue(ctx)
	if err != nil {
		return pause, err
	}
	return e.pause(pause, due, len(changed) > 0), nil
}

// owe notes that an App is to be stepped. One whose step failed has what it waits for cut short, and no more: it may be
// told of at each look.
func (e *Engine) owe(app fleet.Key, now time.Time) {
	switch b := e.behind[app]; {
	case b == nil:
		e.behind[app] = &behind{back: run.Backoff{Min: retryMin, Max: retryMax}, due: now}
	case b.failed && b.due.Sub(now) > e.Period:
		b.due = now.Add(e.Period)
	}
}

// stepAll steps the Apps whose turn it is.
func (e *Engine) stepAll(ctx context.Context, now time.Time) error {
	var group errgroup.Group
	group.SetLimit(stepsAtOnce)
	failed := make(map[fleet.Key]error)
	var done []fleet.Key
	var mu sync.Mutex
	for app, b := range e.behind {
		if b.due.After(now) {
			continue
		}
		group.Go(func() error {
			err := e.step(ctx, app)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed[app] = err
			} else {
				done = append(done, app)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, app := range done {
		delete(e.behind, app)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	for app, err := range failed {
		b := e.behind[app]
		e.metrics.failures.Inc()
		b.failed, b.due = true, time.Now().Add(b.back.Next())
		e.Log.Error("rollout step", "app", app.String(), "err", err, "retryAt", b.due)
	}
	return nil
}

// step makes one App's step, and has asked what it wants to know.
func (e *Engine) step(ctx context.Context, app fleet.Key) error {
	var last Step
	began := time.Now()
	rows, err := e.Store.Roll(ctx, app, func(s State) Step {
		if !s.Now.IsZero() {
			e.mu.Lock()
			e.ahead = time.Until(s.Now)
			e.mu.Unlock()
		}
		last = Next(s)
		return last
	})
	if err != nil {
		return err
	}
	e.metrics.stepped(time.Since(began), rows)
	if rows > 0 {
		e.Log.Info("assignments changed", "app", app.String(), "rows", rows)
	}
	for _, check := range last.Checks {
		e.answers.ask(ctx, check)
	}
	return nil
}

// pause is until an App is due or one that failed is tried again, at most the given. What is overdue although it was looked
// at is one that failed, or the clocks differ: neither makes for a look at once.
func (e *Engine) pause(longest time.Duration, due time.Time, changed bool) time.Duration {
	now, shortest := time.Now(), briefly
	pause := longest
	for _, b := range e.behind {
		pause = min(pause, b.due.Sub(now))
	}
	e.mu.Lock()
	wait := due.Sub(now.Add(e.ahead))
	e.mu.Unlock()
	switch {
	case due.IsZero():
	case wait > 0:
		pause = min(pause, wait)
	case len(e.behind) == 0:
		pause = 0
	}
	if pause > 0 {
		e.early = 0
		return max(pause, shortest)
	}
	// In a large fleet one App or another is due all the time. That the same one stays so although it is stepped is not to
	// make the hub busy either.
	shortest = min(briefly<<min(e.early, 20), longest)
	if changed {
		shortest = min(shortest, busily)
	}
	e.early++
	return shortest
}
