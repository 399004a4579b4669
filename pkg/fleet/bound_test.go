package fleet_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"flotilla.dev/flotilla/pkg/fleet"
)

func length(t *testing.T, part any) int {
	t.Helper()
	data, err := json.Marshal(part)
	if err != nil {
		t.Fatal(err)
	}
	return len(data)
}

func configMap(i int) fleet.ObjectRef {
	return fleet.ObjectRef{Version: "v1", Kind: "ConfigMap", Namespace: "apps", Name: fmt.Sprintf("configuration-%05d", i)}
}

func TestDiffKeepsWithinItsBoundWhateverItsObjectsSay(t *testing.T) {
	t.Parallel()
	const count, most = 2_000, 200_000
	for name, fill := range map[string]func(o *fleet.ObjectDiff){
		"references":        func(o *fleet.ObjectDiff) { o.Change = fleet.ChangeDelete },
		"errors":            func(o *fleet.ObjectDiff) { o.Error = strings.Repeat("<no> ", 30) },
		"diffs":             func(o *fleet.ObjectDiff) { o.Diff = strings.Repeat("+  a\n", 100) },
		"diffs of escapes":  func(o *fleet.ObjectDiff) { o.Diff = strings.Repeat("<\x01\"\n", 1000) },
		"diffs without end": func(o *fleet.ObjectDiff) { o.Diff = strings.Repeat("a", most/10) },
	} {
		diff := fleet.Diff{Unchanged: count}
		for i := range count {
			diff.Objects = append(diff.Objects, fleet.ObjectDiff{Object: configMap(i)})
			fill(&diff.Objects[i])
		}
		diff.Bound(most)
		size := length(t, diff)
		if size > most || size < most*9/10 {
			t.Errorf("%s: %d bytes of %d", name, size, most)
		}
		if len(diff.Objects)+diff.Left != count || diff.Left == 0 {
			t.Errorf("%s: %d objects and %d more, of %d", name, len(diff.Objects), diff.Left, count)
		}
		if strings.HasPrefix(name, "diffs") && len(diff.Objects) < 500 {
			t.Errorf("%s: they leave no room but for %d objects", name, len(diff.Objects))
		}
	}
}

func TestDiffThatHasRoomStaysWhole(t *testing.T) {
	t.Parallel()
	diff := fleet.Diff{Objects: []fleet.ObjectDiff{
		{Object: configMap(1), Diff: strings.Repeat("a", 10_000)}, {Object: configMap(2), Diff: "+a"}, {Object: configMap(3), Error: "denied"},
	}}
	diff.Bound(10_000) // the first diff is too long, and takes no room from the second
	if got := diff.Objects; diff.Left != 0 || !got[0].Cut || got[0].Diff != "" || got[1].Cut || got[1].Diff != "+a" || got[2].Error != "denied" {
		t.Errorf("got %+v", diff)
	}
}

func TestTreeKeepsWithinItsBoundWhateverItsObjectsSay(t *testing.T) {
	t.Parallel()
	const count, most = 500, 200_000
	var tree fleet.Tree
	for i := range count {
		pods := []fleet.TreeObject{{Object: configMap(i), Message: strings.Repeat("<", 100)}, {Object: configMap(i), Status: "Current"}}
		tree.Objects = append(tree.Objects, fleet.TreeObject{Object: configMap(i), Owned: pods})
	}
	tree.Left = 7
	tree.Bound(most)
	size := length(t, tree)
	if size > most || size < most*9/10 {
		t.Errorf("%d bytes of %d", size, most)
	}
	shown := 0
	for _, o := range tree.Objects {
		shown += 1 + len(o.Owned)
	}
	if shown+tree.Left != 3*count+7 || shown == 0 {
		t.Errorf("%d objects and %d more, of %d", shown, tree.Left, 3*count+7)
	}
	small := fleet.Tree{Objects: []fleet.TreeObject{{Object: configMap(1), Owned: []fleet.TreeObject{{Object: configMap(2)}}}}}
	small.Bound(most)
	if small.Left != 0 || len(small.Objects[0].Owned) != 1 {
		t.Errorf("of a small one: %+v", small)
	}
}

func TestAStatusOfAReleaseLosesWhatIsOldestUntilItFits(t *testing.T) {
	t.Parallel()
	whole := func() *fleet.HelmStatus {
		status := &fleet.HelmStatus{Failures: 1}
		for version := range 3 {
			status.History = append(status.History, fleet.HelmSnapshot{Version: 3 - version, TestHooks: map[string]*fleet.HelmTestHook{strings.Repeat("t", 1000): {}}})
		}
		return status
	}
	for most, want := range map[int]string{
		10_000: "3 tested, 2 tested, 1 tested", 3200: "3 tested, 2 tested, 1", 2200: "3 tested, 2, 1", 1300: "3 tested", 1000: "3",
	} {
		status := whole()
		status.Bound(most)
		var left []string
		for _, snapshot := range status.History {
			text := strconv.Itoa(snapshot.Version)
			if snapshot.TestHooks != nil {
				text += " tested"
			}
			left = append(left, text)
		}
		if got := strings.Join(left, ", "); got != want || status.Failures != 1 {
			raw, _ := json.Marshal(status)
			t.Errorf("in %d bytes: %s (%d bytes), want %s", most, got, len(raw), want)
		}
	}
}
