package rollout_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/run"
)

// base is a rollout.Store of one App's world, whose clock is this one's.
type base struct {
	mu    sync.Mutex
	world *world
	wake  run.Wake
	// away: nothing can be stored. lost are as many Commands that the database fails in that state, whatever they are.
	away  bool
	lost  int
	state sqlState
	// refuses says which answers cannot be stored; nil: all can.
	refuses func(rollout.Measured) bool
	// acts counts the Commands that came.
	acts int
}

// sqlState is what a database's driver says of a transaction that failed.
type sqlState string

func (s sqlState) Error() string    { return "the database says " + string(s) }
func (s sqlState) SQLState() string { return string(s) }

func newBase(w *world) *base {
	w.state.Now = time.Now()
	return &base{world: w, wake: run.NewWake()}
}

func (*base) Looked(context.Context) error { return nil }

func (b *base) AppsChanged(_ context.Context, since fleet.Horizon) ([]fleet.Key, fleet.Horizon, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return []fleet.Key{b.world.state.Key}, since + 1, nil
}

func (b *base) NextDue(context.Context) (time.Time, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.world.wake, nil
}

func (b *base) Roll(_ context.Context, _ fleet.Key, decide func(rollout.State) rollout.Step) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.world.pass(time.Since(b.world.state.Now))
	b.world.state.Generation++
	step := decide(b.world.state)
	b.world.write(step)
	return len(step.Put), nil
}

func (b *base) Act(_ context.Context, _ string, _ fleet.Key, c rollout.Command) (rollout.Rollout, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.acts++
	if b.away {
		return rollout.Rollout{}, fmt.Errorf("act: %w", fleet.ErrUnavailable)
	}
	if b.lost > 0 {
		b.lost--
		return rollout.Rollout{}, fmt.Errorf("act: %w: %w", fleet.ErrConflict, b.state)
	}
	if measured := reflect.ValueOf(c); b.refuses != nil && measured.Kind() == reflect.Slice {
		for i := range measured.Len() {
			if m, is := measured.Index(i).Interface().(rollout.Measured); is && b.refuses(m) {
				return rollout.Rollout{}, fmt.Errorf("act: %w: %w", fleet.ErrInvalid, sqlState("22P05"))
			}
		}
	}
	b.world.pass(time.Since(b.world.state.Now))
	defer b.wake.Set()
	return rollout.Rollout{}, b.world.step(c)
}

func (b *base) FinishClusters(context.Context) error { return nil }

func (b *base) PhaseCounts(context.Context) (map[rollout.Phase]int, error) { return nil, nil }

func (b *base) set(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
}

// checker answers by a function, and counts those under way.
type checker struct {
	answer    func(context.Context, rollout.Check) rollout.Measurement
	mu        sync.Mutex
	asked     []rollout.Check
	now, most int
}

func (c *checker) Check(ctx context.Context, check rollout.Check) rollout.Measurement {
	c.mu.Lock()
	c.asked = append(c.asked, check)
	c.now++
	c.most = max(c.most, c.now)
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.now--
	}()
	return c.answer(ctx, check)
}

func passes(context.Context, rollout.Check) rollout.Measurement {
	return rollout.Measurement{Result: rollout.ResultPass, Value: 1}
}

// analysed is a policy of one wave that a query follows.
func analysed(scope fleet.GateScope, count int) fleet.RolloutPolicy {
	return fleet.RolloutPolicy{MaxUnavailable: fleet.Percent(100), Waves: []fleet.Wave{{Name: "all", MaxConcurrent: fleet.Percent(100), After: []fleet.Gate{{Analysis: &fleet.AnalysisGate{
		Provider: fleet.MetricProvider{Type: "prometheus", Address: "http://p"}, Scope: scope, Query: "up", Min: new(1.0), Count: count, Interval: fleet.Lasting(30 * time.Second),
	}}}}}}
}

func (b *base) run(t *testing.T, c rollout.Checker, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	if err := rollout.New(rollout.Config{Store: b, Checker: c, Wake: b.wake, Log: slog.New(slog.DiscardHandler)}).Run(ctx); err != nil {
		t.Error(err)
	}
}

// roll has the first Release adopted, and a second one on its way.
func roll(t *testing.T, clusters int, policy fleet.RolloutPolicy) *base {
	t.Helper()
	w := newWorld(clusters, fleet.RolloutPolicy{MaxUnavailable: fleet.Percent(100), Waves: []fleet.Wave{{Name: "all", MaxConcurrent: fleet.Percent(100)}}})
	one := w.push("one", nil)
	if !w.run(100, func() bool { return w.idle() && w.all(one) }) {
		t.Fatal("the first Release did not get there")
	}
	w.policy(policy)
	w.push("two", nil)
	return newBase(w)
}

func (b *base) over(phase rollout.Phase) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, ro := range b.world.ended {
		if ro.Phase == phase && ro.Target == b.world.state.App.Release.Digest() {
			return true
		}
	}
	return false
}

func TestWhatAGateAsksIsAskedAndItsAnswersEndTheRollout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, c := roll(t, 3, analysed(fleet.ScopeHub, 3)), &checker{answer: passes}
		b.run(t, c, 10*time.Minute)
		if !b.over(rollout.Succeeded) || len(c.asked) != 3 {
			t.Fatalf("%d questions; %+v", len(c.asked), b.world.state.Active)
		}
		if check := c.asked[0]; len(check.Clusters) != 3 || check.WaveName != "all" || check.Phase != rollout.WaveAfter || check.Name != "" {
			t.Errorf("asked %+v", check)
		}
	})
}

func TestEachClusterIsAskedAndNoMoreThanSoManyAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := roll(t, 200, analysed(fleet.ScopeCluster, 1))
		c := &checker{answer: func(ctx context.Context, check rollout.Check) rollout.Measurement {
			_ = run.Sleep(ctx, time.Second)
			return passes(ctx, check)
		}}
		b.run(t, c, 10*time.Minute)
		if !b.over(rollout.Succeeded) || len(c.asked) != 200 {
			t.Fatalf("%d questions; %+v", len(c.asked), b.world.state.Active)
		}
		if c.most > 64 || c.most < 32 {
			t.Errorf("%d were asked at once", c.most)
		}
		if b.acts > 100 {
			t.Errorf("200 answers were brought in %d steps", b.acts)
		}
		if c.asked[0].Name == "" {
			t.Errorf("asked %+v", c.asked[0])
		}
	})
}

func TestAnswersOutliveADatabaseThatIsAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := roll(t, 1, analysed(fleet.ScopeHub, 1))
		c := &checker{answer: func(ctx context.Context, check rollout.Check) rollout.Measurement {
			b.set(func() { b.away = true })
			time.AfterFunc(20*time.Second, func() { b.set(func() { b.away = false }) })
			return passes(ctx, check)
		}}
		b.run(t, c, 3*time.Minute)
		if !b.over(rollout.Succeeded) || len(c.asked) != 1 || b.acts < 3 {
			t.Errorf("%d questions, %d tries; %+v", len(c.asked), b.acts, b.world.state.Active)
		}
	})
}

func TestAnswersOutliveTransactionsThatAreGivenUp(t *testing.T) {
	t.Parallel()
	for _, state := range []sqlState{"40P01", "40001", "57P01", "53300", "08006"} {
		synctest.Test(t, func(t *testing.T) {
			b := roll(t, 1, analysed(fleet.ScopeHub, 1))
			c := &checker{answer: func(ctx context.Context, check rollout.Check) rollout.Measurement {
				b.set(func() { b.lost, b.state = 2, state })
				return passes(ctx, check)
			}}
			b.run(t, c, 10*time.Minute)
			if !b.over(rollout.Succeeded) || len(c.asked) != 1 || b.acts != 3 {
				t.Errorf("%s: %d questions, %d tries; %+v", state, len(c.asked), b.acts, b.world.state.Active)
			}
		})
	}
}

func TestAnswersThatTheDatabaseRefusesAreNotBroughtAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := roll(t, 1, analysed(fleet.ScopeHub, 1))
		c := &checker{answer: func(ctx context.Context, check rollout.Check) rollout.Measurement {
			if check.Attempt == 1 {
				b.set(func() { b.lost, b.state = 1, "23503" })
			}
			return passes(ctx, check)
		}}
		b.run(t, c, 10*time.Minute)
		if !b.over(rollout.Succeeded) || len(c.asked) != 2 || b.acts != 2 {
			t.Errorf("%d questions, %d tries; %+v", len(c.asked), b.acts, b.world.state.Active)
		}
	})
}

func TestAnswersThatComeWithOneThatCannotBeStoredAreBrought(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := roll(t, 10, analysed(fleet.ScopeCluster, 1))
		b.refuses = func(m rollout.Measured) bool { return strings.Contains(m.Message, "\x00") }
		var asked atomic.Int32
		c := &checker{answer: func(ctx context.Context, check rollout.Check) rollout.Measurement {
			n := asked.Add(1)
			if n == 1 { // the others come while this one is brought
				b.set(func() { b.away = true })
				time.AfterFunc(20*time.Second, func() { b.set(func() { b.away = false }) })
				return passes(ctx, check)
			}
			_ = run.Sleep(ctx, time.Second)
			m := passes(ctx, check)
			if n == 5 {
				m.Message = "\x00"
			}
			return m
		}}
		b.run(t, c, 10*time.Minute)
		if !b.over(rollout.Succeeded) || len(c.asked) != 11 {
			t.Errorf("%d questions; %+v", len(c.asked), b.world.state.Active)
		}
	})
}

func TestAnswersThatNobodyWaitsForAreNotBroughtAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := roll(t, 1, analysed(fleet.ScopeHub, 1))
		c := &checker{answer: func(ctx context.Context, check rollout.Check) rollout.Measurement {
			b.set(func() { b.world.state.Placement.RolloutPolicyRef, b.world.state.Managed = nil, false })
			return passes(ctx, check)
		}}
		b.run(t, c, 10*time.Minute)
		if len(c.asked) != 1 || b.acts != 1 {
			t.Errorf("%d questions, %d tries", len(c.asked), b.acts)
		}
	})
}

func TestWhoeverDoesNotAnswerIsGivenUpAndAskedAnew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := roll(t, 1, analysed(fleet.ScopeHub, 1))
		first := true
		c := &checker{}
		c.answer = func(ctx context.Context, check rollout.Check) rollout.Measurement {
			if !first {
				return passes(ctx, check)
			}
			first = false
			<-ctx.Done()
			return rollout.Measurement{Result: rollout.ResultError, Message: "it took too long"}
		}
		b.run(t, c, 10*time.Minute)
		if !b.over(rollout.Succeeded) || len(c.asked) != 2 || c.asked[1].Attempt != 2 {
			t.Errorf("asked %+v; %+v", c.asked, b.world.state.Active)
		}
	})
}

func TestABugInAskingIsAnAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := roll(t, 1, analysed(fleet.ScopeHub, 1))
		c := &checker{answer: func(context.Context, rollout.Check) rollout.Measurement { panic("bug") }}
		b.run(t, c, 20*time.Minute)
		ro := b.world.state.Active
		if ro == nil || ro.Phase != rollout.Paused || ro.Reason != rollout.ReasonInconclusiveGate {
			t.Fatalf("%+v", ro)
		}
	})
}

func TestACommandAsksNothingItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := roll(t, 1, analysed(fleet.ScopeHub, 1))
		fails := &checker{answer: func(context.Context, rollout.Check) rollout.Measurement {
			return rollout.Measurement{Result: rollout.ResultFail}
		}}
		b.run(t, fails, 5*time.Minute)
		if ro := b.world.state.Active; ro == nil || ro.Phase != rollout.Halted {
			t.Fatalf("%+v", ro)
		}
		began := time.Now()
		b.world.checks = nil
		if _, err := b.Act(t.Context(), "user:admin", app, rollout.Resume{RetryGate: true}); err != nil {
			t.Fatal(err)
		}
		if len(b.world.checks) != 0 {
			t.Fatalf("the command asks %+v", b.world.checks)
		}
		b.run(t, &checker{answer: passes}, time.Minute)
		if !b.over(rollout.Succeeded) {
			t.Errorf("after %s: %+v", time.Since(began), b.world.state.Active)
		}
	})
}

func TestEngineEndsWithWhatItAsks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := roll(t, 1, analysed(fleet.ScopeHub, 1))
		var ended error
		c := &checker{answer: func(ctx context.Context, _ rollout.Check) rollout.Measurement {
			<-ctx.Done()
			ended = ctx.Err()
			return rollout.Measurement{}
		}}
		b.run(t, c, time.Minute)
		if !errors.Is(ended, context.DeadlineExceeded) || b.acts != 0 {
			t.Errorf("it ended with %v, and %d answers were brought", ended, b.acts)
		}
	})
}
