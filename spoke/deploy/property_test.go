package deploy

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/manifest"
)

// manyChecks is how often a property's checks are made: 100 times rapid's 100, of which -rapid.checks makes more. With
// -short, once.
const manyChecks = 100

func checkOften(t *testing.T, property func(*rapid.T)) {
	t.Helper()
	times := manyChecks
	if testing.Short() {
		times = 1
	}
	for range times {
		rapid.Check(t, property)
		if t.Failed() {
			return
		}
	}
}

// drawSet draws what an App consists of, of a few names, so that sets have much in common.
func drawSet(t *rapid.T, label string) map[fleet.ObjectRef]wanted {
	set := map[fleet.ObjectRef]wanted{}
	for _, i := range rapid.SliceOfNDistinct(rapid.IntRange(0, 5), 0, 6, rapid.ID).Draw(t, label) {
		// One byte has all of the rest, to draw less: content, frozen, prune: disabled, the mode.
		bits := rapid.Byte().Draw(t, "object")
		want := wanted{content: string('a' + rune(bits&1)), frozen: bits>>1&3 == 0}
		want.mode.PruneDisabled = bits>>3&7 == 0
		switch bits >> 6 & 3 {
		case 0:
			want.mode.SSA = manifest.SSAIfNotPresent
		case 1:
			want.mode.ReconcileDisabled = bits>>3&1 == 1
		}
		set[nameOf(i)] = want
	}
	return set
}

// drawWorld is a world with what others made, after a pass that came to some end.
func drawWorld(t *rapid.T) (w *world, set map[fleet.ObjectRef]wanted) {
	w = newWorld()
	w.strangers(t)
	set = drawSet(t, "first")
	if rapid.Bool().Draw(t, "cut") {
		w.left = rapid.IntRange(0, 12).Draw(t, "left")
	}
	_, _ = w.pass(set, true, fleet.PruneGuard{Off: true}, fleet.Digest{}, false) // whatever the end
	w.left, w.deleted = ample, nil
	return w, set
}

// strangers makes objects that are nobody's.
func (w *world) strangers(t *rapid.T) {
	for _, i := range rapid.SliceOfNDistinct(rapid.IntRange(0, 5), 0, 2, rapid.ID).Draw(t, "strangers") {
		if _, there := w.objects[nameOf(i).ID()]; !there {
			w.uids++
			w.objects[nameOf(i).ID()] = thing{uid: "stranger" + string('0'+rune(w.uids%10)), content: "theirs"}
		}
	}
}

func TestAPassDeletesASubsetOfTheOldInventoryAndNothingThatIsWanted(t *testing.T) {
	t.Parallel()
	checkOften(t, func(t *rapid.T) {
		w, _ := drawWorld(t)
		old := maps.Clone(w.saved)
		before := maps.Clone(w.objects)
		set := drawSet(t, "second")
		prune := rapid.IntRange(0, 3).Draw(t, "prune") > 0
		guard := fleet.ParsePruneGuard(rapid.SampledFrom([]string{"", "off", "0", "2", "50%"}).Draw(t, "guard"))
		var approved fleet.Digest
		held, err := w.pass(set, prune, guard, approved, rapid.Bool().Draw(t, "all"))
		if err != nil {
			t.Fatal(err)
		}
		for _, ref := range w.deleted {
			entry, had := old[ref]
			_, wants := set[versioned(ref)]
			switch {
			case !had:
				t.Fatalf("%s was not in the inventory", ref)
			case wants:
				t.Fatalf("%s is wanted", ref)
			case !prune && !entry.Going:
				t.Fatalf("%s was pruned though nothing is", ref)
			case entry.Kept:
				t.Fatalf("%s is kept", ref)
			case !before[ref].ours:
				t.Fatalf("%s is not ours", ref)
			case held != nil && !entry.Going:
				t.Fatalf("%s was deleted though deletions are held", ref)
			}
		}
		if held != nil { // approved as it is, it goes; nothing else does
			w.deleted = nil
			if again, err := w.pass(set, prune, guard, held.Digest, false); again != nil || err != nil {
				t.Fatalf("what was approved is held: %+v, %v", again, err)
			}
			for _, ref := range w.deleted {
				if !slices.ContainsFunc(held.refs, func(r fleet.ObjectRef) bool { return r.ID() == ref }) && !old[ref].Going {
					t.Fatalf("%s was not approved", ref)
				}
			}
		}
	})
}

func TestWhatIsCreatedUpdatedAndKeptIsTheNewSet(t *testing.T) {
	t.Parallel()
	checkOften(t, func(t *rapid.T) {
		w, _ := drawWorld(t)
		before := maps.Clone(w.objects)
		set := drawSet(t, "second")
		if _, err := w.pass(set, true, fleet.PruneGuard{Off: true}, fleet.Digest{}, rapid.Bool().Draw(t, "all")); err != nil {
			t.Fatal(err)
		}
		for ref, want := range set {
			live, there := w.objects[ref.ID()]
			was, had := before[ref.ID()]
			switch {
			case want.mode.Untouched():
				if live != was || there != had {
					t.Fatalf("%s was not to be touched: %+v, %+v", ref, was, live)
				}
			case !there:
				t.Fatalf("%s is not there", ref)
			case want.mode.SSA == manifest.SSAIfNotPresent:
				if had && live != was {
					t.Fatalf("%s was there: %+v, %+v", ref, was, live)
				}
			case live.content != want.content || !live.ours:
				t.Fatalf("%s is %+v", ref, live)
			case had && !want.frozen && live.uid != was.uid:
				t.Fatalf("%s was made anew", ref)
			}
			if _, has := w.saved[ref.ID()]; has == want.mode.Untouched() {
				t.Fatalf("%s is in the inventory: %t", ref, has)
			}
		}
		for id := range w.saved {
			if _, wants := set[versioned(id)]; !wants {
				t.Fatalf("%s is in the inventory", id)
			}
		}
	})
}

// TestAfterEveryCrashTheNextPassReachesTheSameEnd crashes a pass before each of its effects. What was cut off is made
// again, or something else is wanted by then.
func TestAfterEveryCrashTheNextPassReachesTheSameEnd(t *testing.T) {
	t.Parallel()
	checkOften(t, func(t *rapid.T) {
		start, _ := drawWorld(t)
		cut := drawSet(t, "second")
		next := cut
		if rapid.Bool().Draw(t, "another") {
			next = drawSet(t, "third")
		}
		all, blind := rapid.Bool().Draw(t, "all"), rapid.Bool().Draw(t, "blind")
		for n := 0; ; n++ {
			w := start.clone()
			w.left, w.blind = n, blind
			_, err := w.pass(cut, true, fleet.PruneGuard{Off: true}, fleet.Digest{}, all)
			crashed := err != nil
			w.left = ample
			if _, err := w.pass(next, true, fleet.PruneGuard{Off: true}, fleet.Digest{}, false); err != nil {
				t.Fatal(err)
			}
			w.correct(next)
			w.settled(t, start, cut, next)
			for _, ref := range w.deleted {
				_, inCut := cut[versioned(ref)]
				if _, wants := next[versioned(ref)]; wants && inCut {
					t.Fatalf("after %d effects: %s was deleted, which both sets have", n, ref)
				}
			}
			if !crashed {
				return
			}
		}
	})
}

// A stage of which something is refused, at whatever time, changes nothing that a later pass would trip over.
func TestARefusedStageLeavesTheWorldAsItWas(t *testing.T) {
	t.Parallel()
	checkOften(t, func(t *rapid.T) {
		w, _ := drawWorld(t)
		set := drawSet(t, "second")
		refs := slices.SortedFunc(maps.Keys(set), fleet.ObjectRef.Compare)
		if len(refs) == 0 {
			return
		}
		bad := rapid.SampledFrom(refs).Draw(t, "refused")
		want := set[bad]
		want.refused = true
		set[bad] = want
		before := maps.Clone(w.objects)
		if _, err := w.pass(set, true, fleet.PruneGuard{Off: true}, fleet.Digest{}, true); err != nil && !maps.Equal(before, w.objects) {
			t.Fatalf("something was written: %v", err)
		}
		want.refused = false
		set[bad] = want
		start := w.clone()
		if _, err := w.pass(set, true, fleet.PruneGuard{Off: true}, fleet.Digest{}, false); err != nil {
			t.Fatal(err)
		}
		w.settled(t, start, set, set)
	})
}

// settled holds a world to what must be true after a pass that came to its end, whatever became of the one before.
func (w *world) settled(t *rapid.T, start *world, cut, set map[fleet.ObjectRef]wanted) {
	for ref, want := range set {
		live, there := w.objects[ref.ID()]
		switch entry, has := w.saved[ref.ID()]; {
		case want.mode.Untouched():
			continue
		case !there || !has:
			t.Fatalf("%s: there %t, in the inventory %t", ref, there, has)
		case want.mode.SSA == manifest.SSAIfNotPresent:
			continue
		case !live.ours || live.content != want.content || entry.UID != live.uid || entry.Applied != fleet.DigestOf([]byte(want.content)):
			t.Fatalf("%s is %+v, in the inventory %+v", ref, live, entry)
		case entry.Going:
			t.Fatalf("%s is going", ref)
		}
	}
	for id := range w.saved {
		if _, wants := set[versioned(id)]; !wants {
			t.Fatalf("%s is still in the inventory", id)
		}
	}
	for id, live := range w.objects {
		_, wants := set[versioned(id)]
		entry, had := start.saved[id]
		_, was := start.objects[id]
		kept := had && entry.Kept || cut[versioned(id)].mode.Kept() // on purpose
		if live.ours && !wants && !kept && (had || !was) {
			t.Fatalf("%s is an orphan", id)
		}
	}
	for id, was := range start.objects {
		_, wants := set[versioned(id)]
		_, wanted := cut[versioned(id)]
		if live, there := w.objects[id]; !was.ours && !wants && !wanted && (!there || live != was) {
			t.Fatalf("%s was a stranger's, and is %+v, there: %t", id, live, there)
		}
	}
}

func versioned(id fleet.ObjectRef) fleet.ObjectRef {
	id.Version = "v1"
	return id
}
