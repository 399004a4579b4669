package drift

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/watch"
)

func TestEventsOfAnObjectBeingWrittenAreHeldAndThenJudged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.applied(t, 10)
		end, err := r.Begin(t.Context(), it)
		if err != nil {
			t.Fatal(err)
		}
		r.event(r.kind, watch.Modified, seenAt(12, "changed")) // before our write, so undone by it
		if got := r.found(); got != "" {
			t.Errorf("found %s while it is written", got)
		}
		end(seenAt(13), false)
		if got := r.found(); got != "" {
			t.Errorf("found %s of what our write undid", got)
		}
		end, err = r.Begin(t.Context(), it)
		if err != nil {
			t.Fatal(err)
		}
		r.event(r.kind, watch.Modified, seenAt(15, "changed")) // after our write
		end(seenAt(14), false)
		if got := r.found(); got != fmt.Sprint(Drifted) {
			t.Errorf("found %s", got)
		}
	})
}

func TestWhatOurWriteCoversIsToldWithIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.applied(t, 10)
		end, err := r.Begin(t.Context(), it)
		if err != nil {
			t.Fatal(err)
		}
		r.event(r.kind, watch.Modified, seenAt(12)) // a status, say
		end(seenAt(12), false)                      // which our write that wrote nothing has in its answer
		r.found()
		if got := fmt.Sprint(r.seen); got != "[10 12]" {
			t.Errorf("told %s", got)
		}
	})
}

func TestADeletionOlderThanOurWriteIsNone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.applied(t, 20)
		r.event(r.kind, watch.Deleted, seenAt(19))
		if got := r.found(); got != "" {
			t.Errorf("found %s", got)
		}
		r.event(r.kind, watch.Deleted, seenAt(21))
		if got := r.found(); got != fmt.Sprint(Missing) {
			t.Errorf("found %s", got)
		}
	})
}

func TestPostponedFindingsWaitForAKick(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.applied(t, 10)
		r.event(r.kind, watch.Deleted, seenAt(11))
		time.Sleep(time.Hour)
		if got := r.found(); got != fmt.Sprint(Missing) || !r.Moved(it) {
			t.Errorf("found %q", got)
		}
		r.answers(func(Finding) (Correction, error) {
			return Correction{Outcome: Corrected, Meta: seenAt(12), Wrote: true}, nil
		})
		r.Kick(it)
		if got := r.found(); got != fmt.Sprint(Missing, Missing) && got != fmt.Sprint(Missing)+fmt.Sprint(Missing) || r.Moved(it) {
			t.Errorf("found %q", got)
		}
	})
}

func TestForgottenObjectsAreNotCorrected(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.applied(t, 10)
		r.Forget(it)
		r.event(r.kind, watch.Deleted, seenAt(11))
		r.listed(r.kind, nil, 30, false)
		if got := r.found(); got != "" {
			t.Errorf("found %q", got)
		}
	})
}

func TestReadyIsToldOnlyOfTheVersionThatItWasJudgedAt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.applied(t, 10)
		r.trust()
		r.SetReady(it, "10", true)
		r.Doubt(it) // waits, and keeps what is known as it is
		r.found()
		r.event(r.kind, watch.Modified, seenAt(11))
		r.found()
		if got := fmt.Sprint(r.seen, r.ready); got != "[10 11] [false false]" {
			t.Errorf("told %s", got)
		}
	})
}

func TestPostponedFindingsKeepNoMetadata(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.applied(t, 10)
		r.event(r.kind, watch.Modified, seenAt(11, "changed"))
		r.found()
		r.Kick(it)
		r.found()
		if r.findings[0].Live == nil || r.findings[1].Live != nil || r.findings[1].Verdict != Drifted {
			t.Errorf("found %+v", r.findings)
		}
	})
}

func TestThatAnObjectIsToBeLeftAloneOrNoMoreIsTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.applied(t, 10)
		r.answers(func(f Finding) (Correction, error) {
			return Correction{Outcome: Corrected, Meta: f.Live}, nil
		})
		told := func(want int64, when string) {
			t.Helper()
			r.found()
			if n := r.changed.Load(); n != want {
				t.Errorf("%s it was told %d times, not %d", when, n, want)
			}
		}
		r.event(r.kind, watch.Modified, seenAt(11, "left"))
		told(1, "left alone,")
		r.event(r.kind, watch.Modified, seenAt(12, "left"))
		told(1, "changed and left alone,")
		r.event(r.kind, watch.Modified, seenAt(13))
		told(2, "not left alone any more,")
		r.Leave(it)
		told(3, "left alone by the caller,")
		r.Leave(it)
		told(3, "left alone once more,")
		r.applied(t, 14)
		told(4, "written,")
	})
}
