package run_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"flotilla.dev/flotilla/pkg/run"
)

var errBroken = errors.New("broken")

func waits(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func fails(context.Context) error { return errBroken }

func TestAllReturnsTheFirstFailureByNameAndStopsTheOthers(t *testing.T) {
	t.Parallel()
	var cause error
	err := run.All(t.Context(),
		run.Named{Name: "loop", Task: func(ctx context.Context) error {
			<-ctx.Done()
			cause = context.Cause(ctx)
			return ctx.Err()
		}},
		run.Named{Name: "store", Task: fails},
	)
	if !errors.Is(err, errBroken) || !strings.HasPrefix(err.Error(), "store: ") {
		t.Errorf("All = %v, want the failure of store", err)
	}
	if !errors.Is(cause, errBroken) {
		t.Errorf("the other task was cancelled because of %v, want %v", cause, errBroken)
	}
}

func TestAllIsNilWhenItIsToldToStop(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("SIGTERM"))
	err := run.All(ctx,
		run.Named{Name: "a", Task: waits},
		run.Named{Name: "b", Task: func(ctx context.Context) error { return context.Cause(ctx) }},
	)
	if err != nil {
		t.Errorf("All = %v, want nil", err)
	}
}

func TestAllReportsAFailureWhileStopping(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := run.All(ctx, run.Named{Name: "flush", Task: fails})
	if !errors.Is(err, errBroken) {
		t.Errorf("All = %v, want %v", err, errBroken)
	}
}

func TestAllReportsACancellationThatNobodyAskedFor(t *testing.T) {
	t.Parallel()
	err := run.All(t.Context(), run.Named{Name: "a", Task: func(context.Context) error { return context.Canceled }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("All = %v, want the task's own cancellation", err)
	}
}

func TestAllTurnsAPanicIntoAFailure(t *testing.T) {
	t.Parallel()
	err := run.All(t.Context(),
		run.Named{Name: "bad", Task: func(context.Context) error { panic("boom") }},
		run.Named{Name: "good", Task: waits},
	)
	if err == nil || !strings.Contains(err.Error(), "bad: panic: boom") || !strings.Contains(err.Error(), "run_test.go") {
		t.Errorf("All = %v, want the panic with its stack", err)
	}
}

func TestAllGoesOnWhenATaskIsDone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		started := time.Now()
		err := run.All(ctx, run.Named{Name: "done", Task: func(context.Context) error { return nil }}, run.Named{Name: "loop", Task: waits})
		if err != nil || time.Since(started) != time.Minute {
			t.Errorf("All = %v after %s, want nil after a minute", err, time.Since(started))
		}
	})
}

func TestEveryLooksAtOnceOnEveryPeriodAndWhenWoken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var looks atomic.Int32
		wake := run.NewWake()
		done := make(chan error)
		go func() { done <- run.Every(ctx, time.Minute, wake.C(), func(context.Context) { looks.Add(1) }) }()
		expect := func(want int32, when string) {
			t.Helper()
			synctest.Wait()
			if got := looks.Load(); got != want {
				t.Errorf("%s: looked %d times, want %d", when, got, want)
			}
		}
		expect(1, "at once")
		time.Sleep(53 * time.Second)
		expect(1, "before nine tenths of the period")
		time.Sleep(14 * time.Second)
		expect(2, "after eleven tenths of the period")
		wake.Set()
		expect(3, "woken")
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Every = %v, want nil when stopped", err)
		}
	})
}

func TestWakeNeverBlocksAndIsOneWakeHoweverOftenSet(t *testing.T) {
	t.Parallel()
	wake := run.NewWake()
	for range 3 {
		wake.Set()
	}
	<-wake.C()
	select {
	case <-wake.C():
		t.Error("set thrice is more than one wake")
	default:
	}
}

func TestBackoffDoublesItsBoundAndStaysBelowMax(t *testing.T) {
	t.Parallel()
	b := run.Backoff{Min: 200 * time.Millisecond, Max: time.Second}
	for round := range 2 {
		for i, bound := range []time.Duration{200, 400, 800, 1000, 1000} {
			if got := b.Next(); got <= 0 || got > bound*time.Millisecond {
				t.Errorf("round %d: pause %d = %s, want up to %d ms", round, i, got, bound)
			}
		}
		b.Reset()
	}
}

func TestSleepEndsWithTheCauseOfItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errBroken)
	if err := run.Sleep(ctx, time.Hour); !errors.Is(err, errBroken) {
		t.Errorf("Sleep = %v, want %v", err, errBroken)
	}
}

func TestUntilTriesAgainAfterPausesAndSaysWhyUntilItSucceedsOrIsEnded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began, calls, told := time.Now(), 0, 0
		back := run.Backoff{Min: time.Second, Max: 2 * time.Second}
		done := run.Until(t.Context(), back, func(context.Context) error {
			if calls++; calls < 4 {
				return errors.New("not yet")
			}
			return nil
		}, func(error) { told++ })
		if !done || calls != 4 || told != 3 {
			t.Errorf("done %t after %d calls, told of %d failures", done, calls, told)
		}
		if took := time.Since(began); took <= 0 || took > 5*time.Second {
			t.Errorf("it took %s", took)
		}
		ctx, cancel := context.WithCancel(t.Context())
		calls = 0
		if run.Until(ctx, back, func(context.Context) error { calls++; return errors.New("no") }, func(error) { cancel() }) || calls != 1 {
			t.Errorf("it went on after its end: %d calls", calls)
		}
	})
}
