package drift

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"flotilla.dev/flotilla/pkg/fleet"
)

// rig is a Tracker whose watches are the test's own calls. Corrections go to a channel and are answered by answer.
type rig struct {
	*Tracker
	kind     *kind
	findings []Finding
	seen     []string // resourceVersions that were told
	answer   func(Finding) (Correction, error)
	ready    []bool // what was told with them
	changed  atomic.Int64
	log      bytes.Buffer
}

var it = fleet.ObjectRef{Version: "v1", Kind: "ConfigMap", Namespace: "n", Name: "it"}

// newRig runs a Tracker in a synctest bubble.
func newRig(t *testing.T, memory *Memory) *rig {
	t.Helper()
	r := &rig{answer: func(Finding) (Correction, error) { return Correction{Outcome: Postponed}, nil }}
	r.Tracker = NewTracker(Config{
		Map: func(context.Context, fleet.ObjectRef) (Kind, error) { return Kind{}, errors.New("no cluster") },
		Facts: func(meta *metav1.PartialObjectMetadata) Facts {
			f := FactsOf(meta, nil)
			f.Ours, f.Hash = true, uint64(len(meta.Labels))
			_, f.Left = meta.Labels["left"]
			return f
		},
		Correct: func(_ context.Context, f Finding) (Correction, error) {
			r.mu.Lock()
			r.findings = append(r.findings, f)
			answer := r.answer
			r.mu.Unlock()
			return answer(f)
		},
		Seen: func(_ fleet.ObjectRef, live *metav1.PartialObjectMetadata, ready bool) {
			r.mu.Lock()
			defer r.mu.Unlock()
			if live != nil {
				r.seen, r.ready = append(r.seen, live.ResourceVersion), append(r.ready, ready)
			}
		},
		Changed: func(fleet.ObjectRef) { r.changed.Add(1) },
		Memory:  memory,
		Log:     slog.New(slog.NewTextHandler(&r.log, nil)),
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return r
}

func seenAt(version int, labels ...string) *metav1.PartialObjectMetadata {
	m := &metav1.PartialObjectMetadata{}
	m.Namespace, m.Name, m.UID, m.ResourceVersion = it.Namespace, it.Name, "u", strconv.Itoa(version)
	m.Labels = map[string]string{}
	for _, label := range labels {
		m.Labels[label] = ""
	}
	return m
}

// applied has the object tracked and written at a version.
func (r *rig) applied(t *testing.T, version int) {
	t.Helper()
	end, err := r.Begin(t.Context(), it)
	if err != nil {
		t.Fatal(err)
	}
	end(seenAt(version), false)
	r.mu.Lock()
	r.kind = r.kinds[groupKind(it)]
	r.kind.synced = true
	r.mu.Unlock()
}

// trust makes the kind one whose generation tells.
func (r *rig) trust() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kind.trusted = true
}

// take tracks the object after a restart, as one of a kind that is trusted.
func (r *rig) take() {
	r.Track(it)
	r.mu.Lock()
	r.kind = r.kinds[groupKind(it)]
	r.mu.Unlock()
	r.trust()
}

// answers has findings answered so from now on.
func (r *rig) answers(answer func(Finding) (Correction, error)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

// found waits for what is going on and returns the verdicts so far.
func (r *rig) found() string {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	text := "" // a digit each
	for _, f := range r.findings {
		text += fmt.Sprint(f.Verdict)
	}
	return text
}

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

func TestAfterAGapWhatIsMissingOrMovedIsFound(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		items   []metav1.Object
		version uint64
		want    string
	}{
		"as it was":                          {items: []metav1.Object{seenAt(10)}, version: 30},
		"moved":                              {items: []metav1.Object{seenAt(11)}, version: 30, want: fmt.Sprint(Doubtful)},
		"missing":                            {version: 30, want: fmt.Sprint(Missing)},
		"a list older than our write":        {version: 9},
		"a list older than our write, moved": {items: []metav1.Object{seenAt(8, "changed")}, version: 9},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil)
				r.applied(t, 10)
				r.trust() // so that only the gap makes what looks the same doubtful
				r.listed(r.kind, test.items, test.version, false)
				if got := r.found(); got != test.want {
					t.Errorf("found %q", got)
				}
			})
		})
	}
}

func TestAClusterThatWentBackIsLookedAtAltogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.applied(t, 10)
		r.listed(r.kind, []metav1.Object{seenAt(10)}, 10, true)
		if got := r.found(); got != fmt.Sprint(Doubtful) {
			t.Errorf("found %q", got)
		}
	})
}

func TestMemoryMakesARestartCheapAndDriftIsNeverRemembered(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	run := func(t *testing.T, f func(r *rig)) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, openMemory(t, dir))
			r.take()
			f(r)
		})
	}
	run(t, func(r *rig) { r.applied(t, 10) })
	run(t, func(r *rig) {
		r.listed(r.kind, []metav1.Object{seenAt(10)}, 30, false)
		if got := r.found(); got != "" {
			t.Errorf("found %q", got)
		}
		r.event(r.kind, watch.Modified, seenAt(31, "changed")) // and it is not put right before the end
	})
	run(t, func(r *rig) {
		r.listed(r.kind, []metav1.Object{seenAt(31, "changed")}, 40, false)
		if got := r.found(); got != fmt.Sprint(Drifted) {
			t.Errorf("found %q", got)
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
		if conflicts := r.Conflicts(); conflicts[it.ID()] == "" || r.changed.Load() != 1 {
			t.Errorf("conflicts %v, told %d times", conflicts, r.changed.Load())
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if conflicts := r.Conflicts(); len(conflicts) != 0 || r.changed.Load() != 2 {
			t.Errorf("conflicts %v, told %d times", conflicts, r.changed.Load())
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
		if len(r.Conflicts()) != 0 {
			t.Error("one failure is told as a conflict")
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if n := len(r.found()); n != 4 || r.Conflicts()[it.ID()] != "cannot be put right: refused" {
			t.Errorf("%d attempts, conflicts %v", n, r.Conflicts())
		}
		r.answers(func(Finding) (Correction, error) {
			return Correction{Outcome: Corrected, Meta: seenAt(12), Wrote: true}, nil
		})
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if len(r.Conflicts()) != 0 || r.Moved(it) {
			t.Errorf("conflicts %v", r.Conflicts())
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

func TestADoubtThatWasNotSettledSurvivesARestart(t *testing.T) {
	t.Parallel()
	for name, version := range map[string]int{"with a status after it": 11, "without any event": 10} {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, openMemory(t, dir))
			r.applied(t, 10)
			r.trust()
			r.Doubt(it)
			r.event(r.kind, watch.Modified, seenAt(version)) // after which the object looks clean
			r.found()
		})
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, openMemory(t, dir))
			r.take()
			r.listed(r.kind, []metav1.Object{seenAt(version)}, 30, false)
			if got := r.found(); got != fmt.Sprint(Doubtful) {
				t.Errorf("%s: found %q", name, got)
			}
			r.answers(func(Finding) (Correction, error) {
				return Correction{Outcome: Corrected, Meta: seenAt(version)}, nil
			})
			r.Kick(it)
			r.found()
		})
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, openMemory(t, dir))
			r.take()
			r.listed(r.kind, []metav1.Object{seenAt(version)}, 30, false)
			if got := r.found(); got != "" {
				t.Errorf("%s: settled, and found %q", name, got)
			}
		})
	}
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
		if conflicts := r.Conflicts(); len(conflicts) != 0 {
			t.Errorf("conflicts %v", conflicts)
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
		if len(r.Conflicts()) == 0 {
			t.Fatal("six corrections in a row are no conflict")
		}
		for range 60 {
			r.event(r.kind, watch.Modified, seenAt(int(version.Add(1))))
			time.Sleep(2 * time.Second)
		}
		if conflicts := r.Conflicts(); len(conflicts) != 0 {
			t.Errorf("conflicts %v", conflicts)
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

func TestAKindThatCannotBeWatchedIsLoggedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.applied(t, 10)
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := strings.Count(r.log.String(), "no cluster"); n != 1 {
			t.Errorf("it is logged %d times", n)
		}
	})
}

func TestWhatNobodyTakesUpAfterARestartIsForgottenInTime(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, openMemory(t, dir))
		r.applied(t, 10)
	})
	synctest.Test(t, func(t *testing.T) {
		newRig(t, openMemory(t, dir))
		time.Sleep(time.Minute)
	})
	if _, has := openMemory(t, dir).state(it.ID()); !has {
		t.Error("it is forgotten before its App can have come")
	}
	synctest.Test(t, func(t *testing.T) {
		newRig(t, openMemory(t, dir))
		time.Sleep(2 * time.Hour)
	})
	if _, has := openMemory(t, dir).state(it.ID()); has {
		t.Error("it is kept for ever")
	}
}
