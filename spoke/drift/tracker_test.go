package drift

import (
	"context"
	"errors"
	"fmt"
	"strconv"
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
	fought   atomic.Int64
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
			return f
		},
		Correct: func(_ context.Context, f Finding) (Correction, error) {
			r.mu.Lock()
			r.findings = append(r.findings, f)
			answer := r.answer
			r.mu.Unlock()
			return answer(f)
		},
		Seen: func(_ fleet.ObjectRef, live *metav1.PartialObjectMetadata, _ bool) {
			r.mu.Lock()
			defer r.mu.Unlock()
			if live != nil {
				r.seen = append(r.seen, live.ResourceVersion)
			}
		},
		Fought: func(fleet.ObjectRef) { r.fought.Add(1) },
		Memory: memory,
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
				r.listed(r.kind, test.items, test.version, false)
				if got := r.found(); got != test.want {
					t.Errorf("found %q", got)
				}
			})
		})
	}
}

func TestAClusterThatWentBackIsLookedAtAltogether(t *testing.T) {
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
	dir := t.TempDir()
	run := func(t *testing.T, f func(r *rig)) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, openMemory(t, dir))
			r.Track(it)
			r.mu.Lock()
			r.kind = r.kinds[groupKind(it)]
			r.mu.Unlock()
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
		if conflicts := r.Conflicts(); conflicts[it.ID()] == "" || r.fought.Load() != 1 {
			t.Errorf("conflicts %v, told %d times", conflicts, r.fought.Load())
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if conflicts := r.Conflicts(); len(conflicts) != 0 || r.fought.Load() != 2 {
			t.Errorf("conflicts %v, told %d times", conflicts, r.fought.Load())
		}
	})
}

func TestACorrectionThatFailsIsTriedAgainAndThenTold(t *testing.T) {
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
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, openMemory(t, dir))
		r.applied(t, 10)
		r.mu.Lock()
		r.kind.trusted = true
		r.mu.Unlock()
		r.Doubt(it)
		r.event(r.kind, watch.Modified, seenAt(11)) // status, after which the object looks clean
		r.found()
	})
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, openMemory(t, dir))
		r.Track(it)
		r.mu.Lock()
		r.kind = r.kinds[groupKind(it)]
		r.mu.Unlock()
		r.listed(r.kind, []metav1.Object{seenAt(11)}, 30, false)
		if got := r.found(); got != fmt.Sprint(Doubtful) {
			t.Errorf("found %q", got)
		}
	})
}
