package drift

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

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
