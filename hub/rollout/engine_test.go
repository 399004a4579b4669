package rollout_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
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
	due     time.Time // by the database's clock, which is ahead
	ahead   time.Duration
	stays   bool // due, although it is stepped

	mu     sync.Mutex
	rolled []fleet.Key
	at     []time.Time // when broken was tried
	looks  int
}

func (*rows) Looked(context.Context) error { return nil }

func (r *rows) AppsChanged(_ context.Context, since fleet.Horizon) ([]fleet.Key, fleet.Horizon, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.looks++
	if since == 0 {
		return r.all, 1, nil
	}
	changed := r.changed
	r.changed = nil
	if !r.due.IsZero() && !r.due.After(time.Now().Add(r.ahead)) {
		changed = append(changed, fleet.Key{Name: "due"})
	}
	return changed, since + 1, nil
}

func (r *rows) NextDue(context.Context) (time.Time, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.due, nil
}

func (r *rows) Roll(_ context.Context, app fleet.Key, decide func(rollout.State) rollout.Step) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if app == r.broken {
		r.at = append(r.at, time.Now())
		return 0, errors.New("broken")
	}
	decide(rollout.State{Key: app, Now: time.Now().Add(r.ahead)})
	r.rolled = append(r.rolled, app)
	if app.Name == "due" && !r.stays {
		r.due = time.Time{}
	}
	return 0, nil
}

func (r *rows) Act(context.Context, string, fleet.Key, rollout.Command) (rollout.Rollout, error) {
	return rollout.Rollout{}, errors.New("nothing was asked")
}

func (r *rows) FinishClusters(context.Context) error { return nil }

func (r *rows) PhaseCounts(context.Context) (map[rollout.Phase]int, error) { return nil, nil }

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

func TestAnAppIsSteppedWhenItIsDueWhateverThisMachinesClockSays(t *testing.T) {
	t.Parallel()
	for _, ahead := range []time.Duration{0, time.Hour, -time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			// Between two looks by the period.
			store := &rows{all: []fleet.Key{{Name: "app"}}, ahead: ahead, due: began.Add(ahead + 2*time.Second)}
			runFor(t, store, run.NewWake(), 3*time.Second)
			if !slices.Equal(store.rolled, []fleet.Key{{Name: "app"}, {Name: "due"}}) || store.looks > 4 {
				t.Errorf("clock ahead by %s: rolled %v in %d looks", ahead, store.rolled, store.looks)
			}
		})
	}
}

func TestAnAppThatIsDueAndCannotBeSteppedMakesNobodyBusy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &rows{broken: fleet.Key{Name: "due"}, due: time.Now()}
		runFor(t, store, run.NewWake(), 10*time.Minute)
		if n := len(store.at); n < 60 || n > 400 {
			t.Errorf("%d tries in 10 minutes", n)
		}
		if store.looks > 600 {
			t.Errorf("%d looks in 10 minutes", store.looks)
		}
	})
}

func TestAnAppThatStaysDueMakesNobodyBusy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &rows{due: time.Now(), stays: true}
		runFor(t, store, run.NewWake(), 10*time.Minute)
		if store.looks > 1300 {
			t.Errorf("%d looks in 10 minutes", store.looks)
		}
	})
}

func TestADueTimeThatIsNeverReachedMakesNobodyBusy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		// The database's clock was set back after the step that said so.
		store := &rows{all: []fleet.Key{{Name: "app"}}, ahead: time.Hour}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		back := &setBack{rows: store, due: time.Now().Add(10 * time.Minute)}
		if err := rollout.New(rollout.Config{Store: back, Wake: run.NewWake(), Log: slog.New(slog.DiscardHandler)}).Run(ctx); err != nil {
			t.Error(err)
		}
		if store.looks > 200 {
			t.Errorf("%d looks in 10 minutes", store.looks)
		}
	})
}

// setBack is a store whose clock the engine takes to be an hour ahead, and that says what is due by another.
type setBack struct {
	*rows
	due time.Time
}

func (s *setBack) NextDue(context.Context) (time.Time, error) { return s.due, nil }
