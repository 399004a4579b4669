package rollout

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/run"
)

// answers has Checks asked outside of steps, and brings what was answered to the Rollouts.
type answers struct {
	store   Store
	checker Checker
	log     *slog.Logger
	metrics *metrics
	// turns bounds those that are asked at the same time. Who asks of one namespace, or one cluster after the other, holds up
	// nobody else.
	turns *run.Turns
	tasks sync.WaitGroup

	mu sync.Mutex
	// pending are answers that are to be brought, by App. An App is there while somebody brings them.
	pending map[fleet.Key][]Measured
}

const (
	// asksAtOnce bounds Checks under way, and asksBeside those more of who has none yet.
	asksAtOnce = 64
	asksBeside = 32
	// answerTime bounds a Check, its turn included: its Rollout waits no longer than unanswered.
	answerTime = 100 * time.Second
)

func newAnswers(config Config, m *metrics) *answers {
	return &answers{
		store: config.Store, checker: config.Checker, log: config.Log, metrics: m,
		turns: run.NewTurns(asksAtOnce, asksBeside), pending: map[fleet.Key][]Measured{},
	}
}

// wait returns when nothing is under way any more.
func (a *answers) wait() { a.tasks.Wait() }

// ask has a Check asked, and its answer brought.
func (a *answers) ask(ctx context.Context, check Check) {
	a.tasks.Go(func() {
		m, err := a.measure(ctx, check)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			m = Measurement{Result: ResultError, Message: err.Error()}
		}
		a.metrics.checked(check, m.Result)
		a.log.Debug("gate asked", "app", check.App.String(), "rollout", check.Rollout, "wave", check.Wave, "gate", check.Spec.Name(),
			"cluster", check.Name, "result", m.Result, "message", m.Message)
		a.bring(ctx, check.App, Measured{
			Rollout: check.Rollout, Wave: check.Wave, After: check.After, Gate: check.Gate, Cluster: check.Cluster, Attempt: check.Attempt, Measurement: m,
		})
	})
}

func (a *answers) measure(ctx context.Context, check Check) (m Measurement, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, answerTime, errors.New("it took too long: the hub asks as much as it can"))
	defer cancel()
	done, err := a.turns.Take(ctx, check.App.Namespace)
	if err != nil {
		return Measurement{Result: ResultAgain, Message: err.Error()}, nil // nobody was asked
	}
	defer done()
	err = run.Recover(ctx, func(ctx context.Context) error {
		m = a.checker.Check(ctx, check)
		return nil
	})
	if bug := (*run.PanicError)(nil); errors.As(err, &bug) {
		a.log.Error("gate not asked", "app", check.App.String(), "rollout", check.Rollout, "gate", check.Spec.Name(), "err", err)
		return m, errors.New("the hub could not ask; its log says why")
	}
	return m, err
}

// bring gives an answer to its Rollout. Those that come while others are brought go together: each is a step.
func (a *answers) bring(ctx context.Context, app fleet.Key, m Measured) {
	a.mu.Lock()
	waiting, brings := a.pending[app]
	a.pending[app] = append(waiting, m)
	a.mu.Unlock()
	for !brings {
		a.mu.Lock()
		next := a.pending[app]
		if len(next) == 0 {
			delete(a.pending, app)
			a.mu.Unlock()
			return
		}
		a.pending[app] = nil
		a.mu.Unlock()
		a.give(ctx, app, next)
	}
}

// give retries while the database is away, until nobody waits for the answers any more. Of those that come together one that
// cannot be stored takes no other with it.
func (a *answers) give(ctx context.Context, app fleet.Key, found []Measured) {
	ctx, cancel := context.WithTimeout(ctx, unanswered)
	defer cancel()
	var refused error
	back := run.Backoff{Min: 100 * time.Millisecond, Max: 10 * time.Second}
	given := run.Until(ctx, back, func(ctx context.Context) error {
		_, err := a.store.Act(ctx, System, app, allMeasured(found))
		if isRefusal(err) {
			refused = err
			return nil
		}
		return err
	}, func(err error) {
		a.log.Warn("answers of gates not brought yet", "app", app.String(), "answers", len(found), "err", err)
	})
	switch {
	case !given && ctx.Err() != nil:
		a.metrics.lost.Add(float64(len(found)))
	case errors.Is(refused, fleet.ErrInvalid) && len(found) > 1:
		for i := range found {
			a.give(ctx, app, found[i:i+1])
		}
	case errors.Is(refused, fleet.ErrInvalid):
		a.metrics.lost.Inc()
		a.log.Warn("answer of a gate cannot be stored", "app", app.String(), "rollout", found[0].Rollout, "err", refused)
	case refused != nil:
		a.log.Debug("answers that nobody waits for", "app", app.String(), "answers", len(found), "err", refused)
	}
}

// isRefusal reports whether no other try would end otherwise: the Rollout is gone, or has no policy any more, or the answers
// cannot be stored. A transaction that the database gave up for another one reads as a conflict too, and decides nothing.
func isRefusal(err error) bool {
	if database := (interface{ SQLState() string })(nil); errors.As(err, &database) && isTemporary(database.SQLState()) {
		return false
	}
	return errors.Is(err, fleet.ErrConflict) || errors.Is(err, fleet.ErrNotFound) || errors.Is(err, fleet.ErrInvalid) || errors.Is(err, fleet.ErrDenied)
}

// isTemporary reports whether what the database says is over by itself: it gave the transaction up (class 40), the connection broke
// (08), it has no room (53), or somebody stops it (57).
func isTemporary(sqlState string) bool {
	return len(sqlState) == 5 && slices.Contains([]string{"40", "08", "53", "57"}, sqlState[:2])
}

// allMeasured are answers that come together.
type allMeasured []Measured

func (c allMeasured) apply(t *turn) error {
	for _, m := range c {
		if err := m.apply(t); err != nil {
			return err
		}
	}
	return nil
}

// String says what it is, without the answers.
func (c allMeasured) String() string { return fmt.Sprintf("%d answers of gates", len(c)) }
