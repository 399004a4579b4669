package rollout

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/run"
)

// Store is what the engine needs of the store.
type Store interface {
	// AppsChanged returns the Apps about which something changed since a horizon, and the horizon to ask from next.
	AppsChanged(ctx context.Context, since fleet.Horizon) ([]fleet.Key, fleet.Horizon, error)
	// Roll loads the App's State, has it decided, and writes the Step, in one transaction. It reports how many rows
	// were written.
	Roll(ctx context.Context, app fleet.Key, decide func(State) Step) (int, error)
	// FinishClusters ends the Terminating clusters that have no Assignment left.
	FinishClusters(ctx context.Context) error
}

// Config is what an Engine needs.
type Config struct {
	Store Store
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
	horizon fleet.Horizon
	// full is when every App was looked at last.
	full time.Time
	// behind are the Apps to step.
	behind map[fleet.Key]*behind
}

// behind is an App whose step is to be made, and is not before due if it failed.
type behind struct {
	back run.Backoff
	due  time.Time
}

// retryMin and retryMax bound the pauses between tries of one App's step.
const (
	retryMin = time.Second
	retryMax = time.Minute
)

// New returns an Engine.
func New(config Config) *Engine {
	config.Period = cmp.Or(config.Period, 5*time.Second)
	config.FullPeriod = cmp.Or(config.FullPeriod, 10*time.Minute)
	return &Engine{Config: config, metrics: newMetrics(config.Metrics), behind: map[fleet.Key]*behind{}}
}

// Run steps until ctx ends.
func (e *Engine) Run(ctx context.Context) error {
	return run.Every(ctx, e.Period, e.Wake, func(ctx context.Context) {
		if err := e.look(ctx); err != nil && ctx.Err() == nil {
			e.Log.Error("rollouts not looked at", "err", err)
		}
	})
}

// look steps every App about which something changed since the last look, and those whose turn has come again.
func (e *Engine) look(ctx context.Context) error {
	now := time.Now()
	since := e.horizon
	all := now.Sub(e.full) >= e.FullPeriod
	if all {
		since = 0
	}
	changed, next, err := e.Store.AppsChanged(ctx, since)
	if err != nil {
		return err
	}
	e.horizon = next
	if all {
		e.full = now
	}
	for _, app := range changed {
		if e.behind[app] == nil {
			e.behind[app] = &behind{back: run.Backoff{Min: retryMin, Max: retryMax}}
		}
		e.behind[app].due = now
	}
	for app, b := range e.behind {
		if b.due.After(now) {
			continue
		}
		if err := e.step(ctx, app); err != nil {
			if ctx.Err() != nil {
				return err
			}
			e.metrics.failures.Inc()
			b.due = time.Now().Add(b.back.Next())
			e.Log.Error("rollout step", "app", app.String(), "err", err, "retryAt", b.due)
			continue
		}
		delete(e.behind, app)
	}
	return e.Store.FinishClusters(ctx)
}

func (e *Engine) step(ctx context.Context, app fleet.Key) error {
	rows, err := e.Store.Roll(ctx, app, Next)
	if err == nil && rows > 0 {
		e.metrics.rows.Add(float64(rows))
		e.Log.Info("assignments changed", "app", app.String(), "rows", rows)
	}
	return err
}

type metrics struct {
	rows     prometheus.Counter
	failures prometheus.Counter
}

func newMetrics(registry prometheus.Registerer) *metrics {
	m := &metrics{
		rows: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "flotilla_hub_assignments_written_total", Help: "Assignment rows that rollouts wrote."}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "flotilla_hub_rollout_step_failures_total", Help: "Rollout steps that failed and were tried again."}),
	}
	if registry != nil {
		registry.MustRegister(m.rows, m.failures)
	}
	return m
}
