package rollout_test

import (
	"testing"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
)

// dependent is running, with a new Release of an App that depends on another one.
func dependent(p rollout.Prerequisite) (before, two fleet.Release, s rollout.State) {
	s = running(fleet.UnmatchOrphan)
	before, two = *s.App.Release, releaseOf("two")
	s.App.Release, s.App.Prerequisites = &two, []rollout.Prerequisite{{}, p}
	return before, two, s
}

func TestNewReleaseWaitsInEachClusterForWhatItDependsOn(t *testing.T) {
	t.Parallel()
	old, now := fleet.Digest{1}, fleet.Digest{2}
	for name, c := range map[string]struct {
		prerequisite rollout.Prerequisite
		a, b         bool // whether the clusters get it
	}{
		"it is where it should be":         {rollout.Prerequisite{Release: now, Rows: map[string]fleet.Digest{"id-a": now, "id-b": now}}, true, true},
		"one cluster has not heard of it":  {rollout.Prerequisite{Release: now, Rows: map[string]fleet.Digest{"id-a": now, "id-b": old}}, true, false},
		"it is not to be in a cluster":     {rollout.Prerequisite{Release: now, Rows: map[string]fleet.Digest{"id-a": old}}, false, true},
		"it is not built at the revision":  {rollout.Prerequisite{Lacks: "it", Release: old, Rows: map[string]fleet.Digest{"id-a": old, "id-b": old}}, false, false},
		"it is not built and is in nobody": {rollout.Prerequisite{Lacks: "it"}, false, false},
	} {
		before, two, s := dependent(c.prerequisite)
		s.App.Controls.Suspend = true
		step := rollout.Next(s)
		for id, gets := range map[string]bool{"id-a": c.a, "id-b": c.b} {
			put, written := step.Put[id]
			want := before
			if gets {
				want = two
			}
			if !written || put.Assignment.Release.Digest() != want.Digest() || !put.Assignment.Suspend || (put.Assignment.Pin == s.Generation) != gets {
				t.Errorf("%s: %s: %+v", name, id, put.Assignment)
			}
		}
	}
}

func TestFirstReleaseIsNotAssignedBeforeWhatItDependsOn(t *testing.T) {
	t.Parallel()
	_, two, s := dependent(rollout.Prerequisite{Lacks: "it"})
	s.Rows = make([]rollout.Row, 2)
	if step := rollout.Next(s); !step.Empty() {
		t.Errorf("step %+v", step)
	}
	s.App.Prerequisites = nil
	if step := rollout.Next(s); len(step.Put) != 2 || step.Put["id-a"].Assignment.Release.Digest() != two.Digest() {
		t.Errorf("then step %+v", step)
	}
}

func TestDeclarationThatAnExpressionLooksAtIsAControl(t *testing.T) {
	t.Parallel()
	s := running(fleet.UnmatchOrphan)
	s.App.Declared = &fleet.Declared{Generation: 3, Observed: 3, Labels: map[string]string{"a": "b"}, Spec: []byte(`{}`)}
	step := rollout.Next(s)
	put, written := step.Put["id-a"]
	if !written || put.Assignment.Declared.Labels["a"] != "b" || put.Assignment.Pin == s.Generation {
		t.Errorf("put %+v", put)
	}
	s = follow(s, step)
	if step := rollout.Next(s); !step.Empty() {
		t.Errorf("again %+v", step)
	}
	two := releaseOf("two")
	s.App.Release, s.App.Prerequisites = &two, []rollout.Prerequisite{{Lacks: "it"}}
	if got := rollout.Next(s).Put["id-a"].Assignment; got.Declared == nil || got.Declared.Observed != 2 {
		t.Errorf("a cluster that has not got it is told %+v", got.Declared)
	}
}
