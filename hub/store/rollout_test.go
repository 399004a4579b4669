package store_test

import (
	"testing"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/hub/store"
	"flotilla.dev/flotilla/pkg/fleet"
)

func TestReleaseGoesThroughTheFleetWaveByWave(t *testing.T) {
	t.Parallel()
	f := newRolledOut(t, canaryFirst, "canary-1", "prod-1", "prod-2")
	first := f.push("one")
	if got := f.settle(rollout.Succeeded); got.Target != first.Digest() {
		t.Fatalf("rolled out %+v", got)
	}
	second := f.push("two")
	f.step()
	if got := f.runs(); got["canary-1"] != second.Digest() || got["prod-1"] != first.Digest() || got["prod-2"] != first.Digest() {
		t.Fatalf("at the first step the clusters run %v", got)
	}
	done := f.settle(rollout.Succeeded)
	for name, release := range f.runs() {
		if release != second.Digest() {
			t.Errorf("%s runs %s", name, release)
		}
	}
	if n := done.Totals(); done.Target != second.Digest() || n.Succeeded != 3 || n.Size != 3 || done.Finished.IsZero() {
		t.Errorf("it ended as %+v with %+v", done, n)
	}
	whole, err := f.Rollout(t.Context(), fleet.Key{}, done.ID)
	if err != nil {
		t.Fatal(err)
	}
	for i, m := range whole.Members {
		if want := []string{"canary-1", "prod-1", "prod-2"}[i]; m.Name != want || m.Phase != rollout.MemberSucceeded || m.Base != first.Digest() {
			t.Errorf("member %d is %+v", i, m)
		}
	}
	events, err := f.RolloutEvents(t.Context(), done.ID, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	if len(events) < 5 || events[0].Type != "Started" || events[len(events)-1].Type != string(rollout.Succeeded) {
		t.Errorf("events %+v", events)
	}
	for i, e := range events {
		if e.Number != uint64(i)+1 {
			t.Errorf("event %d has number %d", i+1, e.Number)
		}
	}
	if all, err := f.Rollouts(t.Context(), store.RolloutQuery{App: appKey}); err != nil || len(all) != 2 || all[0].ID != done.ID {
		t.Errorf("rollouts %v, error %v", all, err)
	}
}
