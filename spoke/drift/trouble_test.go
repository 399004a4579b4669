package drift

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/watch"
)

func TestAFightIsAConflictBackedOffAndForgottenAfterwards(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.applied(t, 10)
		r.answers(func(f Finding) (Correction, error) {
			return Correction{Outcome: Corrected, Meta: seenAt(int(parseVersion(f.Live.ResourceVersion)) + 1), Wrote: true}, nil
		})
		began := time.Now()
		var at []time.Duration
		for i := range 8 {
			r.event(r.kind, watch.Modified, seenAt(20+2*i, "changed"))
			for len(r.found()) == i {
				time.Sleep(100 * time.Millisecond)
			}
			at = append(at, time.Since(began).Round(time.Second))
		}
		if want := "[0s 0s 0s 0s 1s 3s 7s 15s]"; fmt.Sprint(at) != want {
			t.Errorf("corrections at %v, not %s", at, want)
		}
		if why := r.conflict(); why == "" || r.changed.Load() != 1 {
			t.Errorf("conflict %q, told %d times", why, r.changed.Load())
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if why := r.conflict(); why != "" || r.changed.Load() != 2 {
			t.Errorf("conflict %q, told %d times", why, r.changed.Load())
		}
	})
}

func TestACorrectionThatFailsIsTriedAgainAndThenTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.applied(t, 10)
		r.answers(func(Finding) (Correction, error) { return Correction{}, errors.New("refused") })
		r.event(r.kind, watch.Modified, seenAt(11, "changed"))
		synctest.Wait()
		if r.conflict() != "" {
			t.Error("one failure is told as a conflict")
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if n := len(r.found()); n != 4 || r.conflict() != "cannot be put right: refused" {
			t.Errorf("%d attempts, conflict %q", n, r.conflict())
		}
		r.answers(func(Finding) (Correction, error) {
			return Correction{Outcome: Corrected, Meta: seenAt(12), Wrote: true}, nil
		})
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if r.conflict() != "" || r.Moved(it) {
			t.Errorf("conflict %q", r.conflict())
		}
	})
}

func TestWhatOthersKeepWritingIsLookedAtEverMoreRarely(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.applied(t, 10)
		var version atomic.Int64
		version.Store(10)
		r.answers(func(f Finding) (Correction, error) {
			if f.Verdict != Doubtful {
				return Correction{Outcome: Corrected, Meta: seenAt(int(version.Add(1))), Wrote: true}, nil
			}
			return Correction{Outcome: Corrected, Meta: seenAt(int(version.Load()))}, nil
		})
		for range 600 { // ten minutes
			r.event(r.kind, watch.Modified, seenAt(int(version.Add(1))))
			time.Sleep(time.Second)
		}
		// Four at once, then after 1, 2, 4, 8, 16 seconds and every 30.
		if n := len(r.found()); n < 25 || n > 30 {
			t.Errorf("looked at %d times", n)
		}
		r.event(r.kind, watch.Modified, seenAt(int(version.Add(1)), "changed"))
		if got := r.found(); !strings.HasSuffix(got, fmt.Sprint(Drifted)) {
			t.Error("what metadata shows waits like a doubt")
		}
		r.event(r.kind, watch.Modified, seenAt(int(version.Add(1))))
		if got := r.found(); !strings.HasSuffix(got, fmt.Sprint(Drifted)+fmt.Sprint(Doubtful)) {
			t.Error("after a drift, doubts are still not looked into at once")
		}
		if why := r.conflict(); why != "" {
			t.Errorf("conflict %q", why)
		}
		before := len(r.found())
		time.Sleep(2 * time.Minute)
		for range 3 {
			r.event(r.kind, watch.Modified, seenAt(int(version.Add(1))))
			r.found()
		}
		if n := len(r.found()) - before; n != 3 {
			t.Errorf("after a calm of two minutes, %d of 3 events are looked into at once", n)
		}
	})
}

func TestAFightThatIsOverIsNoConflictThoughTheObjectIsWritten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.applied(t, 10)
		var version atomic.Int64
		version.Store(10)
		r.answers(func(f Finding) (Correction, error) {
			return Correction{Outcome: Corrected, Meta: seenAt(int(version.Add(1))), Wrote: f.Verdict == Drifted}, nil
		})
		for range 6 {
			r.event(r.kind, watch.Modified, seenAt(int(version.Add(1)), "changed"))
			time.Sleep(5 * time.Second)
		}
		if r.conflict() == "" {
			t.Fatal("six corrections in a row are no conflict")
		}
		for range 60 {
			r.event(r.kind, watch.Modified, seenAt(int(version.Add(1))))
			time.Sleep(2 * time.Second)
		}
		if why := r.conflict(); why != "" {
			t.Errorf("conflict %q", why)
		}
	})
}

func TestOnlyConflictsOfTheObjectsAskedAboutAreTold(t *testing.T) {
	t.Parallel()
	tracker := NewTracker(Config{})
	var all set
	for i := range 20 {
		ref := it.ID()
		ref.Name = fmt.Sprint(i)
		all = append(all, ref)
		tracker.Track(ref)
		if i >= 5 && i < 10 {
			_, o := tracker.find(ref)
			tracker.troubles[o] = &trouble{ref: ref}
			if i > 5 {
				tracker.troubles[o].conflict = "fought for"
			}
		}
	}
	for _, test := range []struct{ from, to, want int }{
		{from: 0, to: 0}, {from: 0, to: 2}, {from: 5, to: 7, want: 1}, {from: 5, to: 9, want: 3}, // fewer than are in trouble
		{from: 0, to: 5}, {from: 0, to: 7, want: 1}, {from: 5, to: 10, want: 4}, {from: 0, to: 20, want: 4},
	} {
		of := all[test.from:test.to]
		conflicts := tracker.Conflicts(of)
		for ref, why := range conflicts {
			if !of.Has(ref) || why != "fought for" {
				t.Errorf("of %+v there is %s: %q", test, ref, why)
			}
		}
		if len(conflicts) != test.want {
			t.Errorf("of %+v there are %v", test, conflicts)
		}
	}
}
