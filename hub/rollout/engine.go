package rollout

import (
	"cmp"
	"context"
	"errors"
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
}

// Engine keeps Assignments as they should be.
type Engine struct {
	Config
	metrics *metrics
	horizon fleet.Horizon
	// again are Apps whose step failed.
	again map[fleet.Key]bool
}

// New returns an Engine.
func New(config Config) *Engine {
	config.Period = cmp.Or(config.Period, 5*time.Second)
	return &Engine{Config: config, metrics: newMetrics(config.Metrics), again: map[fleet.Key]bool{}}
}

// Run steps until ctx ends.
func (e *Engine) Run(ctx context.Context) error {
	return run.Every(ctx, e.Period, e.Wake, func(ctx context.Context) {
		if err := e.look(ctx); err != nil && ctx.Err() == nil {
			e.Log.Error("rollouts not looked at", "err", err)
		}
	})
}

// look steps every App about which something changed since the last look.
func (e *Engine) look(ctx context.Context) error {
	changed, next, err := e.Store.AppsChanged(ctx, e.horizon)
	if err != nil {
		return err
	}
	for _, app := range changed {
		e.again[app] = true
	}
	e.horizon = next
	for app := range e.again {
		rows, err := e.Store.Roll(ctx, app, Next)
		switch {
		case errors.Is(err, context.Canceled):
			return err
		case err != nil:
			e.metrics.failures.Inc()
			e.Log.Error("rollout step", "app", app.String(), "err", err)
			continue // tried again at the next look
		case rows > 0:
			e.metrics.rows.Add(float64(rows))
			e.Log.Info("assignments changed", "app", app.String(), "rows", rows)
		}
		delete(e.again, app)
	}
	return e.Store.FinishClusters(ctx)
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
