package rollout_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
)

var app = fleet.Key{Home: fleet.HubHome, Kind: "Kustomization", Namespace: "apps", Name: "app"}

func releaseOf(text string) fleet.Release {
	return fleet.Release{App: app, Manifest: fleet.DigestOf([]byte(text)), Prune: true}
}

func placement(onUnmatch fleet.OnUnmatch, names ...string) *rollout.Placement {
	return &rollout.Placement{Name: "place", Placement: fleet.Placement{
		Apps: []fleet.AppRef{{Kind: "Kustomization", Name: "app"}}, Clusters: fleet.ClusterChoice{Names: names}, OnUnmatch: onUnmatch}}
}

// running is a State in which clusters a and b run release one, and nothing is to be done.
func running(onUnmatch fleet.OnUnmatch) rollout.State {
	one := releaseOf("one")
	place := placement(onUnmatch, "a", "b")
	s := rollout.State{
		Key: app, App: &rollout.App{Release: &one}, Placement: place, Former: map[string]rollout.Placement{place.Name: *place},
		Clusters: []rollout.Cluster{{ID: "id-a", Name: "a"}, {ID: "id-b", Name: "b"}}, Rows: make([]rollout.Row, 2), Generation: 1,
	}
	return follow(s, rollout.Next(s))
}

// rowOf is the row of a cluster, by id; of one that is not there, one of nothing.
func rowOf(s rollout.State, id string) *rollout.Row {
	for i := range s.Clusters {
		if s.Clusters[i].ID == id {
			return &s.Rows[i]
		}
	}
	return new(rollout.Row)
}

// follow is the State after a Step was written.
func follow(s rollout.State, step rollout.Step) rollout.State {
	s.Rows = slices.Clone(s.Rows)
	for i := range s.Clusters {
		put, written := step.Put[s.Clusters[i].ID]
		if !written {
			continue
		}
		row := &s.Rows[i]
		row.Assignment, row.Placement, row.Removed, row.Reported = &put.Assignment, put.Placement, false, false
		if put.Assignment.State == fleet.Removed {
			row.Ending, row.Confirmed = nil, false
		}
	}
	for _, id := range step.Drop {
		*rowOf(s, id) = rollout.Row{}
	}
	for _, id := range step.Lapse {
		row := rowOf(s, id)
		row.Ending, row.Confirmed = nil, false
	}
	for _, id := range step.Spent {
		row := rowOf(s, id)
		row.Approved, row.Outdated = fleet.Digest{}, false
	}
	s.Generation++
	return s
}

// with is the State with the row of the cluster id-a edited.
func with(s rollout.State, edit func(*rollout.Row)) rollout.State {
	s.Rows = slices.Clone(s.Rows)
	edit(rowOf(s, "id-a"))
	return s
}

// reportRemoved is the State when every spoke has carried its tombstone out.
func reportRemoved(s rollout.State) rollout.State {
	s.Rows = slices.Clone(s.Rows)
	for i := range s.Rows {
		row := &s.Rows[i]
		row.Removed = row.Assignment != nil && row.Assignment.State == fleet.Removed
	}
	return s
}

func TestNothingChangedIsNothingToWrite(t *testing.T) {
	t.Parallel()
	if step := rollout.Next(running("")); !step.Empty() {
		t.Errorf("step %+v", step)
	}
}

func TestNewReleaseGoesToEveryPlacedCluster(t *testing.T) {
	t.Parallel()
	s := running("")
	two := releaseOf("two")
	s.App.Release = &two
	step := rollout.Next(s)
	if len(step.Put) != 2 || step.Put["id-a"].Assignment.Release.Digest() != two.Digest() || step.Put["id-a"].Assignment.Pin != s.Generation {
		t.Errorf("step %+v", step)
	}
}

func TestDeletionTable(t *testing.T) {
	t.Parallel()
	deleted := func(d rollout.Deletion) func(*rollout.State) {
		return func(s *rollout.State) { s.App, s.Deletion = nil, &d }
	}
	unplaced := func(s *rollout.State) { s.Placement = nil } // deleted, or it no longer names the App
	unmatched := func(s *rollout.State) {
		place := placement(s.Placement.OnUnmatch, "b")
		s.Placement, s.Former = place, map[string]rollout.Placement{place.Name: *place}
	}
	terminating := func(s *rollout.State) { s.Clusters[0].Terminating = true }
	orphan, remove := &fleet.Tombstone{}, &fleet.Tombstone{Delete: true}
	for _, test := range []struct {
		what      string
		onUnmatch fleet.OnUnmatch
		change    func(*rollout.State)
		want      *fleet.Tombstone // of cluster a
	}{
		{"App whose policy is to delete", "", deleted(rollout.Deletion{Delete: true}), remove},
		{"App whose policy is to delete and wait", "", deleted(rollout.Deletion{Delete: true, Wait: true}), &fleet.Tombstone{Delete: true, Wait: true}},
		{"App that orphans, or was suspended", "", deleted(rollout.Deletion{}), orphan},
		{"Placement", "", unplaced, orphan},
		{"Placement that prunes", fleet.UnmatchPrune, unplaced, remove},
		{"match", "", unmatched, orphan},
		{"match of a Placement that prunes", fleet.UnmatchPrune, unmatched, remove},
		{"Cluster", "", terminating, orphan},
		{"Cluster under a Placement that prunes", fleet.UnmatchPrune, terminating, orphan},
		{"declaration, as when a database was restored", "", func(s *rollout.State) { s.App = nil }, nil},
		{"everything the Assignment was made from", "", func(s *rollout.State) { s.Placement, s.Former = nil, nil }, nil},
	} {
		t.Run(test.what+" gone", func(t *testing.T) {
			t.Parallel()
			s := running(test.onUnmatch)
			test.change(&s)
			put, wrote := rollout.Next(s).Put["id-a"]
			switch {
			case test.want == nil && wrote:
				t.Errorf("wrote %+v", put)
			case test.want != nil && !wrote:
				t.Error("wrote nothing")
			case test.want != nil && (put.Assignment.State != fleet.Removed || *put.Assignment.Tombstone != *test.want):
				t.Errorf("wrote %+v with tombstone %+v, want %+v", put.Assignment, put.Assignment.Tombstone, test.want)
			}
		})
	}
}

func TestConfirmationIsCarriedByTheTombstoneOfItsClusterOnly(t *testing.T) {
	t.Parallel()
	s := running("")
	s.App, s.Deletion = nil, &rollout.Deletion{Delete: true}
	row := rowOf(s, "id-a")
	row.Confirmed = true
	step := rollout.Next(s)
	if !step.Put["id-a"].Assignment.Tombstone.Confirmed || step.Put["id-b"].Assignment.Tombstone.Confirmed {
		t.Errorf("step %+v", step)
	}
}

func TestTombstoneStaysUntilItIsCarriedOut(t *testing.T) {
	t.Parallel()
	s := running("")
	s.App, s.Deletion = nil, &rollout.Deletion{}
	s = follow(s, rollout.Next(s))
	if step := rollout.Next(s); !step.Empty() {
		t.Fatalf("step %+v", step)
	}
	row := rowOf(s, "id-a")
	row.Removed = true
	if step := rollout.Next(s); !slices.Equal(step.Drop, []string{"id-a"}) || len(step.Put) != 0 {
		t.Errorf("step %+v", step)
	}
}

// The report that a tombstone is done and the App's new place may be seen in one look. A row that were dropped then would
// not come back: nothing that changes later names the App.
func TestAppPlacedAnewWhileItsTombstoneIsDoneIsAssigned(t *testing.T) {
	t.Parallel()
	s := running("")
	declared := s.App
	s.App, s.Deletion = nil, &rollout.Deletion{Delete: true}
	s = follow(s, rollout.Next(s))
	s.App, s.Deletion = declared, nil
	s = reportRemoved(s)
	if got := rollout.Next(s).Put["id-a"].Assignment; got.State != fleet.Active || got.Release.Digest() != declared.Release.Digest() {
		t.Errorf("assignment %+v", got)
	}
	s.App = &rollout.App{} // declared, and not built yet: what was removed does not come back
	if step := rollout.Next(s); len(step.Put) != 0 || !slices.Contains(step.Drop, "id-a") {
		t.Errorf("step %+v", step)
	}
}

func TestAppDeclaredOverWhatOnlyASpokeKnewWaitsForItsRelease(t *testing.T) {
	t.Parallel()
	s := running("")
	s.Rows = []rollout.Row{{Ending: &rollout.Deletion{Delete: true}}, {}}
	s.App, s.Placement = nil, nil
	s = follow(s, rollout.Next(s))
	s.App, s.Placement = &rollout.App{}, placement("", "a")
	if put, wrote := rollout.Next(s).Put["id-a"]; wrote {
		t.Errorf("assigned %+v, of which nothing is known", put.Assignment)
	}
}

func TestOrderToEndAnAppLapsesWhereTheAppStays(t *testing.T) {
	t.Parallel()
	s := running("")
	row := rowOf(s, "id-a")
	row.Confirmed = true // to be deleted, and placed again before the engine looked
	step := rollout.Next(s)
	if !slices.Equal(step.Lapse, []string{"id-a"}) || len(step.Put) != 0 {
		t.Fatalf("step %+v", step)
	}
	s = follow(s, step)
	s.App, s.Deletion = nil, &rollout.Deletion{Delete: true}
	if rollout.Next(s).Put["id-a"].Assignment.Tombstone.Confirmed {
		t.Error("an old confirmation covers a later deletion")
	}
}

func TestAppDeclaredAnewTakesItsTombstoneBack(t *testing.T) {
	t.Parallel()
	s := running("")
	declared := s.App
	s.App, s.Deletion = nil, &rollout.Deletion{Delete: true}
	s = follow(s, rollout.Next(s))
	s.App, s.Deletion = declared, nil
	step := rollout.Next(s)
	if got := step.Put["id-a"].Assignment; got.State != fleet.Active || got.Tombstone != nil || got.Generation != s.Generation {
		t.Errorf("assignment %+v", got)
	}
}

// approvedPrune is running with a set of deletions held in one cluster, its approval handed on and spent.
func approvedPrune(t *testing.T) (s rollout.State, set fleet.Digest) {
	t.Helper()
	set = fleet.DigestOf([]byte("set"))
	s = with(running(""), func(row *rollout.Row) { row.Held, row.Reported, row.Approved = set, true, set })
	step := rollout.Next(s)
	if got := step.Put["id-a"].Assignment; got.ApprovedPrune != set || got.Pin == s.Generation || !slices.Equal(step.Spent, []string{"id-a"}) {
		t.Fatalf("step %+v", step)
	}
	return follow(s, step), set
}

func TestApprovalStaysUntilTheSpokeHasActedOnIt(t *testing.T) {
	t.Parallel()
	s, set := approvedPrune(t)
	for name, edit := range map[string]func(*rollout.Row){
		"not heard of":                 func(*rollout.Row) {},
		"still held":                   func(row *rollout.Row) { row.Reported = true },
		"an earlier word, not of this": func(row *rollout.Row) { row.Held = fleet.Digest{} },
	} {
		if step := rollout.Next(with(s, edit)); !step.Empty() {
			t.Errorf("%s: step %+v", name, step)
		}
	}
	for name, held := range map[string]fleet.Digest{"done": {}, "another set": fleet.DigestOf([]byte("other"))} {
		ended := with(s, func(row *rollout.Row) { row.Held, row.Reported = held, true })
		put, there := rollout.Next(ended).Put["id-a"]
		if !there || !put.Assignment.ApprovedPrune.IsZero() || put.Assignment.Pin == ended.Generation {
			t.Errorf("%s: the Assignment is put: %t, %+v", name, there, put.Assignment)
		}
		// The same set again: it is asked about.
		again := follow(ended, rollout.Next(ended))
		again = with(again, func(row *rollout.Row) { row.Held, row.Reported = set, true })
		if step := rollout.Next(again); !step.Empty() {
			t.Errorf("%s: the set is held again, and the step is %+v", name, step)
		}
	}
}

func TestApprovalLapsesWithTheReleaseOrTheBinding(t *testing.T) {
	t.Parallel()
	release := func(name string) func(*rollout.State) {
		r := releaseOf(name)
		r.ReleaseSpec.PostBuild = &fleet.PostBuild{}
		return func(s *rollout.State) { s.App = &rollout.App{Release: &r} }
	}
	variable := func(value string) func(*rollout.State) {
		return func(s *rollout.State) {
			s.Clusters = slices.Clone(s.Clusters)
			s.Clusters[0].Spec.Variables = map[string]string{"name": value}
		}
	}
	for name, test := range map[string]struct{ there, back func(*rollout.State) }{
		"Release": {release("two"), release("one")},
		"Binding": {variable("two"), variable("one")},
	} {
		set := fleet.DigestOf([]byte("set"))
		s := running("")
		release("one")(&s)
		variable("one")(&s)
		s = follow(s, rollout.Next(s))
		s = with(s, func(row *rollout.Row) { row.Held, row.Approved = set, set })
		s = follow(s, rollout.Next(s))
		if rowOf(s, "id-a").Assignment.ApprovedPrune != set {
			t.Fatalf("%s: assignment %+v", name, rowOf(s, "id-a").Assignment)
		}
		for _, move := range []func(*rollout.State){test.there, test.back} {
			move(&s)
			s = follow(s, rollout.Next(s))
			if got := rowOf(s, "id-a").Assignment.ApprovedPrune; !got.IsZero() {
				t.Errorf("%s: approval %s is kept", name, got)
			}
		}
		if step := rollout.Next(s); !step.Empty() {
			t.Errorf("%s: step %+v", name, step)
		}
	}
}

func TestApprovalThatIsVoidIsForgotten(t *testing.T) {
	t.Parallel()
	set := fleet.DigestOf([]byte("set"))
	for name, edit := range map[string]func(*rollout.Row){
		"of another set":      func(row *rollout.Row) { row.Held, row.Approved = fleet.DigestOf([]byte("now")), set },
		"for another Release": func(row *rollout.Row) { row.Held, row.Approved, row.Outdated = set, set, true },
	} {
		step := rollout.Next(with(running(""), edit))
		if len(step.Put) != 0 || !slices.Equal(step.Spent, []string{"id-a"}) {
			t.Errorf("%s: step %+v", name, step)
		}
	}
}
func TestAppThatOnlyASpokeKnowsIsEndedByOrder(t *testing.T) {
	t.Parallel()
	s := rollout.State{Key: app, Clusters: []rollout.Cluster{{ID: "id-a", Name: "a"}}, Generation: 4,
		Rows: []rollout.Row{{Ending: &rollout.Deletion{Delete: true}, Confirmed: true}}}
	got := rollout.Next(s).Put["id-a"].Assignment
	if got.State != fleet.Removed || !got.Tombstone.Delete || !got.Tombstone.Confirmed || got.Generation != 4 {
		t.Errorf("assignment %+v", got)
	}
}

func TestRequestOfOneInstanceIsNewerOrOlderThanTheApps(t *testing.T) {
	t.Parallel()
	const at = "2026-01-01T00:00:00.1Z"
	for _, test := range []struct{ app, instance, want string }{
		{"", at, at}, {at, "", at}, {"now", "now " + at, "now " + at}, {"another", "now " + at, "another"}, {at, at + " " + at, at + " " + at},
	} {
		s := running("")
		s.App.Controls.RequestedAt = test.app
		row := rowOf(s, "id-a")
		row.RequestedAt = test.instance
		if got := rollout.Next(s).Put["id-a"].Assignment.RequestedAt; got != test.want {
			t.Errorf("App %q, instance %q: %q, want %q", test.app, test.instance, got, test.want)
		}
	}
}

// Whatever happens to the declarations, in whatever order, the engine settles in one step, generations only grow, and
// objects are ordered to be deleted only where a declaration says so.
func TestAnyHistorySettlesAndDeletesOnlyByOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := running("")
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			mutate(t, &s)
			before := s
			step := rollout.Next(s)
			if again := rollout.Next(s); !cmp.Equal(again, step) {
				t.Fatalf("not deterministic: %v, then %v", step, again)
			}
			s = follow(s, step)
			if rest := rollout.Next(s); !rest.Empty() {
				t.Fatalf("does not settle: after %+v comes %+v", step, rest)
			}
			for id, put := range step.Put {
				if old := rowOf(before, id).Assignment; old != nil && put.Assignment.Generation <= old.Generation {
					t.Fatalf("generation %d after %d", put.Assignment.Generation, old.Generation)
				}
				if put.Assignment.Pin > put.Assignment.Generation {
					t.Fatalf("pin %d beyond generation %d", put.Assignment.Pin, put.Assignment.Generation)
				}
			}
			for _, cluster := range s.Clusters {
				placed := s.App != nil && s.App.Release != nil && s.Placement != nil && !cluster.Terminating && s.Placement.Clusters.Matches(cluster.Name, cluster.Labels)
				if row := rowOf(s, cluster.ID).Assignment; placed && (row == nil || row.State != fleet.Active || row.Release.Digest() != s.App.Release.Digest()) {
					t.Fatalf("%s is placed and has %+v", cluster.Name, row)
				}
				if row := rowOf(s, cluster.ID); placed && row.Confirmed {
					t.Fatalf("%s keeps a confirmation", cluster.Name)
				}
			}
			for _, id := range step.Deletes() {
				ordered := s.Deletion != nil && s.Deletion.Delete || s.Former["place"].OnUnmatch == fleet.UnmatchPrune
				if old := rowOf(before, id).Assignment; !ordered && (old == nil || old.State == fleet.Active) {
					t.Fatalf("deletes in %s without an order", id)
				}
			}
		}
	})
}

func mutate(t *rapid.T, s *rollout.State) {
	names := rapid.SliceOfDistinct(rapid.SampledFrom([]string{"a", "b"}), rapid.ID).Draw(t, "names")
	switch rapid.IntRange(0, 7).Draw(t, "what") {
	case 0:
		r := releaseOf(rapid.SampledFrom([]string{"one", "two", "three"}).Draw(t, "release"))
		s.App, s.Deletion = &rollout.App{Release: &r}, nil
	case 1:
		s.App, s.Deletion = nil, &rollout.Deletion{Delete: rapid.Bool().Draw(t, "delete")}
	case 2:
		s.App, s.Deletion = nil, nil
	case 3:
		s.Placement = nil
	case 4:
		place := placement(rapid.SampledFrom([]fleet.OnUnmatch{"", fleet.UnmatchPrune}).Draw(t, "onUnmatch"), names...)
		s.Placement, s.Former = place, map[string]rollout.Placement{place.Name: *place}
	case 5:
		s.Clusters = slices.Clone(s.Clusters)
		s.Clusters[0].Terminating = !s.Clusters[0].Terminating
	case 6:
		*s = reportRemoved(*s)
		if rapid.Bool().Draw(t, "declared in the same look") {
			mutate(t, s)
		}
	case 7:
		s.Rows = slices.Clone(s.Rows)
		for i := range s.Rows {
			s.Rows[i].Confirmed = rapid.Bool().Draw(t, "confirmed")
		}
	}
}

// A readyExpr alone asks for the declaration, and must not keep the rest from the cluster.
func TestADeclarationThatNoMessageTakesIsLeftOut(t *testing.T) {
	t.Parallel()
	s := running(fleet.UnmatchPrune)
	for size, sent := range map[int]bool{1 << 20: true, 4 << 20: false} {
		s.App.Declared = &fleet.Declared{Generation: 1, Spec: json.RawMessage(`{"text":"` + strings.Repeat("x", size) + `"}`)}
		s.App.Controls.RequestedAt = "now"
		put, there := rollout.Next(s).Put["id-a"]
		if !there || put.Assignment.RequestedAt != "now" || (put.Assignment.Declared != nil) != sent {
			t.Errorf("with %d bytes: put %t, with its declaration %t", size, there, put.Assignment.Declared != nil)
		}
	}
}
