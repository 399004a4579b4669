package rollout_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
)

// unmatching has n clusters run the App, of which its Placement then chooses half.
func unmatching(t *testing.T, n int, policy bool) *world {
	t.Helper()
	w := newWorld(0, fleet.RolloutPolicy{Waves: []fleet.Wave{{Name: "all", MaxConcurrent: fleet.Percent(100)}}, MaxUnavailable: fleet.Percent(100)})
	for i := range n {
		w.join(fmt.Sprintf("c%02d", i), map[string]string{"half": fmt.Sprint(i % 2)})
	}
	one := w.push("one", nil)
	if !w.run(50, func() bool { return w.idle() && w.all(one) }) {
		t.Fatalf("%+v", w.state.Active)
	}
	if policy {
		w.state.Placement.RolloutPolicyRef = &fleet.RolloutPolicyRef{Name: "p"}
	}
	w.state.Placement.OnUnmatch = fleet.UnmatchPrune
	w.state.Placement.Clusters.Selector = &fleet.Selector{MatchLabels: map[string]string{"half": "0"}}
	w.state.Former["place"] = *w.state.Placement
	return w
}

// rows counts those that are there.
func (w *world) rows() (n int) {
	for _, row := range w.state.Rows {
		if row.Assignment != nil {
			n++
		}
	}
	return n
}

func (w *world) deleting() (n int) {
	for _, row := range w.state.Rows {
		if a := row.Assignment; a != nil && a.State == fleet.Removed && a.Tombstone.Delete && !row.Removed {
			n++
		}
	}
	return n
}

func TestClustersThatAPlacementWithAPolicyLeavesLoseTheAppATenthAtATime(t *testing.T) {
	t.Parallel()
	w := unmatching(t, 40, true)
	most := 0
	for range 40 {
		if err := w.step(nil); err != nil {
			t.Fatal(err)
		}
		most = max(most, w.deleting())
		w.pass(1)
	}
	if most != 4 {
		t.Errorf("%d clusters at once lost the App", most)
	}
	if n := w.rows(); n != 20 {
		t.Errorf("%d clusters have it still", n)
	}
}

func TestClustersThatAPlacementWithoutAPolicyLeavesLoseTheAppAtOnce(t *testing.T) {
	t.Parallel()
	w := unmatching(t, 40, false)
	if err := w.step(nil); err != nil {
		t.Fatal(err)
	}
	if n := w.deleting(); n != 20 {
		t.Errorf("%d clusters lose the App", n)
	}
}

func TestAClusterIsNotPrunedWhileItIsAwayHeldOrTheFleetIsFrozen(t *testing.T) {
	t.Parallel()
	w := unmatching(t, 4, true)
	w.cluster("c01").Connected = false
	w.cluster("c03").Held = "hands off"
	w.row("id-c01").Confirmed = true
	var lapsed []string
	w.watch = func(_ rollout.State, step rollout.Step) { lapsed = append(lapsed, step.Lapse...) }
	step := func(want int) {
		t.Helper()
		if err := w.step(nil); err != nil {
			t.Fatal(err)
		}
		if n := w.deleting(); n != want {
			t.Errorf("%d clusters lose the App, not %d", n, want)
		}
	}
	step(0)
	if len(lapsed) > 0 {
		t.Errorf("the confirmation of a cluster that waits has lapsed: %v", lapsed)
	}
	w.cluster("c01").Connected = true
	w.state.Freeze = "holidays"
	step(0)
	w.state.Freeze = ""
	step(1)
	if a := w.row("id-c01").Assignment; a.State != fleet.Removed || !a.Tombstone.Confirmed {
		t.Errorf("c01: %+v", a)
	}
	w.cluster("c03").Held = ""
	step(1)
	w.pass(1)
	step(1)
}

func TestAClusterThatGoesAwayKeepsNoOtherFromLosingTheApp(t *testing.T) {
	t.Parallel()
	w := unmatching(t, 4, true)
	w.say(t, nil)
	if n := w.deleting(); n != 1 {
		t.Fatalf("%d clusters lose the App", n)
	}
	w.cluster("c01").Connected = false
	w.say(t, nil)
	if n := w.deleting(); n != 2 {
		t.Errorf("%d clusters lose the App, one of which is away", n)
	}
}

func TestAConfirmationHoldsUntilTheTurnOfItsClustersHasComeAndForNoOther(t *testing.T) {
	t.Parallel()
	w := unmatching(t, 40, true)
	step := rollout.Next(w.state)
	all := slices.Sorted(slices.Values(slices.Concat(step.Deletes(), step.Later)))
	if leaves := slices.Sorted(maps.Keys(w.state.Unmatched())); len(step.Later) != 16 || len(all) != 20 || !slices.Equal(all, leaves) {
		t.Fatalf("%d lose the App now or later, %d of them later; it leaves %d", len(all), len(step.Later), len(leaves))
	}
	for _, id := range all {
		w.row(id).Confirmed = true
	}
	ordered := map[string]bool{}
	w.watch = func(before rollout.State, step rollout.Step) {
		for _, id := range step.Later {
			if a := rowOf(before, id).Assignment; a.State != fleet.Active || before.Placement.Clusters.Matches("", w.labels(id)) {
				t.Errorf("%s is to lose the App later, and has %+v", id, a)
			}
		}
		for _, id := range step.Deletes() {
			ordered[id] = step.Put[id].Assignment.Tombstone.Confirmed
		}
		if len(step.Lapse) > 0 {
			t.Errorf("the confirmations of %v have lapsed", step.Lapse)
		}
	}
	for n := range 40 {
		if n == 1 {
			w.cluster("c00").Labels = map[string]string{"half": "1"}
		}
		w.say(t, nil)
		w.pass(1)
	}
	if len(ordered) != 21 || ordered["id-c00"] {
		t.Errorf("%d clusters lose the App, one of which nobody confirmed: %t", len(ordered), ordered["id-c00"])
	}
	delete(ordered, "id-c00")
	for id, confirmed := range ordered {
		if !confirmed {
			t.Errorf("%s: the confirmation is lost", id)
		}
	}
}

func (w *world) labels(id string) map[string]string {
	for _, c := range w.state.Clusters {
		if c.ID == id {
			return c.Labels
		}
	}
	return nil
}
