package rollout_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/run"
)

// rows is a rollout.Store that records what it is asked.
type rows struct {
	changed []fleet.Key // told at a look from the horizon of the last one
	all     []fleet.Key // told at a look from the beginning
	broken  fleet.Key
	rolled  []fleet.Key
	at      []time.Time // when broken was tried
}

func (r *rows) AppsChanged(_ context.Context, since fleet.Horizon) ([]fleet.Key, fleet.Horizon, error) {
	if since == 0 {
		return r.all, 1, nil
	}
	changed := r.changed
	r.changed = nil
	return changed, since + 1, nil
}

func (r *rows) Roll(_ context.Context, app fleet.Key, _ func(rollout.State) rollout.Step) (int, error) {
	if app == r.broken {
		r.at = append(r.at, time.Now())
		return 0, errors.New("broken")
	}
	r.rolled = append(r.rolled, app)
	return 0, nil
}

func (r *rows) FinishClusters(context.Context) error { return nil }

func runFor(t *testing.T, store rollout.Store, wake run.Wake, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	if err := rollout.New(rollout.Config{Store: store, Wake: wake, Log: slog.New(slog.DiscardHandler)}).Run(ctx); err != nil {
		t.Error(err)
	}
}

func TestAppWhoseStepFailsIsTriedAgainMoreAndMoreRarelyAndStopsNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		bad, good := fleet.Key{Name: "bad"}, fleet.Key{Name: "good"}
		store := &rows{all: []fleet.Key{bad, good}, broken: bad}
		runFor(t, store, run.NewWake(), 9*time.Minute)
		if !slices.Equal(store.rolled, []fleet.Key{good}) {
			t.Errorf("rolled %v", store.rolled)
		}
		if n := len(store.at); n < 9 || n > 40 {
			t.Errorf("%d tries in 9 minutes", n)
		}
	})
}

func TestEveryAppIsLookedAtNowAndThen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		app := fleet.Key{Name: "app"}
		store := &rows{all: []fleet.Key{app}}
		runFor(t, store, run.NewWake(), 25*time.Minute)
		if len(store.rolled) != 3 {
			t.Errorf("rolled %d times in 25 minutes", len(store.rolled))
		}
	})
}
