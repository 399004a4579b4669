package rollout_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
)

// counted is a base that knows of Rollouts in some phases.
type counted struct {
	*base
	err error
}

func (c counted) PhaseCounts(context.Context) (map[rollout.Phase]int, error) {
	return map[rollout.Phase]int{rollout.Running: 2, rollout.Succeeded: 40}, c.err
}

func TestMetricsCountRolloutsStepsAndChecks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewRegistry()
		b := roll(t, 1, analysed(fleet.ScopeHub, 1))
		engine := rollout.New(rollout.Config{
			Store: counted{b, nil}, Checker: &checker{answer: passes}, Wake: b.wake, Log: slog.New(slog.DiscardHandler), Metrics: registry,
		})
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		if err := engine.Run(ctx); err != nil {
			t.Fatal(err)
		}
		want := `
			# HELP flotilla_hub_rollouts Rollouts that are not over, by phase.
			# TYPE flotilla_hub_rollouts gauge
			flotilla_hub_rollouts{phase="Halted"} 0
			flotilla_hub_rollouts{phase="Paused"} 0
			flotilla_hub_rollouts{phase="Queued"} 0
			flotilla_hub_rollouts{phase="RollingBack"} 0
			flotilla_hub_rollouts{phase="Running"} 2
			# HELP flotilla_hub_rollout_checks_total Questions of analysis and webhook gates that were asked, by type, who asked, and result.
			# TYPE flotilla_hub_rollout_checks_total counter
			flotilla_hub_rollout_checks_total{result="Pass",scope="Hub",type="Analysis"} 1
		`
		if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "flotilla_hub_rollouts", "flotilla_hub_rollout_checks_total"); err != nil {
			t.Error(err)
		}
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, family := range families {
			if family.GetName() == "flotilla_hub_rollout_step_seconds" && family.GetMetric()[0].GetHistogram().GetSampleCount() == 0 {
				t.Error("no step was timed")
			}
		}
	})
}

func TestAScrapeEndsWhileTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	b := newBase(newWorld(1, fleet.RolloutPolicy{}))
	rollout.New(rollout.Config{Store: counted{b, errors.New("away")}, Log: slog.New(slog.DiscardHandler), Metrics: registry})
	families, err := registry.Gather()
	if err != nil || len(families) == 0 {
		t.Errorf("%d families, %v", len(families), err)
	}
}
