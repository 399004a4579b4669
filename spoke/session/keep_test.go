package session

import (
	"maps"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"flotilla.dev/flotilla/pkg/fleet"
	spokev1 "flotilla.dev/flotilla/proto/flotilla/spoke/v1"
)

// flakyRecords keep a log's entries only as long as it is well; what is not said to be kept may be. Full, they keep nothing.
type flakyRecords struct {
	memoryRecords
	saves        int
	broken, lost bool
	full         bool
}

func (f *flakyRecords) Save(name string, value any) bool {
	f.saves++
	return !f.full && f.memoryRecords.Save(name, value)
}

func (f *flakyRecords) Append(name string, entry any, anew bool) bool {
	if f.lost || f.full {
		return false
	}
	return f.memoryRecords.Append(name, entry, anew) && !f.broken
}

// Whatever changes, whichever entries of the log fail, and wherever the spoke starts again: on disk is what is held.
func TestStateOnDiskIsTheOneAcceptedLast(t *testing.T) {
	t.Parallel()
	one := newAuthor(t)
	rapid.Check(t, func(rt *rapid.T) {
		a := &author{key: one.key, cluster: one.cluster, signed: map[fleet.StateID]fleet.Desired{}}
		r, records := a.replica(), &flakyRecords{memoryRecords: memoryRecords{}}
		k := &keeper{records: records}
		for range rapid.IntRange(1, 30).Draw(rt, "steps") {
			base := r.held.ID
			items := desired(rapid.SliceOfN(rapid.IntRange(-3, 3), 1, 4).Draw(rt, "generations")...)
			messages := a.message(base, a.set(items), 1)
			if rapid.IntRange(0, 9).Draw(rt, "whole") == 0 {
				messages = a.message(fleet.StateID{}, a.latest, 1)
			}
			if changed, err := give(r, false, messages...); err != nil || !changed {
				rt.Fatalf("changed: %t, %v", changed, err)
			}
			records.broken, records.lost = rapid.IntRange(0, 4).Draw(rt, "broken") == 0, rapid.IntRange(0, 4).Draw(rt, "lost") == 0
			k.keep(r.held, r.latest)
			if rapid.IntRange(0, 4).Draw(rt, "restart") == 0 {
				k = &keeper{records: records}
			}
			loaded, has := (&keeper{records: records}).load()
			if !has || loaded.ID != r.held.ID {
				rt.Fatalf("on disk is %s, held is %s", loaded.ID, r.held.ID)
			}
			restarted := a.replica()
			restarted.mark = r.mark
			if err := restarted.restore(loaded); err != nil {
				rt.Fatal(err)
			}
			if !reflect.DeepEqual(restarted.held.Items, r.held.Items) || !sameKept(restarted.held.Kept, r.held.Kept) || !reflect.DeepEqual(restarted.digests, r.digests) {
				rt.Fatalf("of %s there is on disk %+v, held is %+v", loaded.ID, restarted.held, r.held)
			}
		}
	})
}

func sameKept(a, b map[string]Kept) bool {
	return len(a) == 0 && len(b) == 0 || reflect.DeepEqual(a, b)
}

func TestStateIsWrittenWholeOnlyNowAndThen(t *testing.T) {
	t.Parallel()
	a := newAuthor(t)
	r, records := a.replica(), &flakyRecords{memoryRecords: memoryRecords{}}
	k := &keeper{records: records}
	const apps, changes = 60, 400
	items, changed := fleet.Desired{}, uint64(0)
	change := func(n int) {
		changed++
		items = maps.Clone(items)
		items[appKey(n).String()] = fleet.Assignment{
			App: appKey(n), State: fleet.Active, Generation: changed, Release: fleet.Release{App: appKey(n), PruneGuard: strings.Repeat("x", 2000)},
		}.Encode()
	}
	follow := func(base fleet.StateID) {
		t.Helper()
		if _, err := give(r, false, a.message(base, a.set(items), 1)...); err != nil {
			t.Fatal(err)
		}
		k.keep(r.held, r.latest)
	}
	for n := range apps {
		change(n)
	}
	follow(fleet.StateID{})
	longest := 0
	for n := range changes {
		change(n % apps)
		follow(r.held.ID)
		longest = max(longest, len(records.memoryRecords[changesLog]))
	}
	whole := len(records.memoryRecords[stateRecord])
	if records.saves < 2 || records.saves > changes/25 {
		t.Errorf("of %d changes the state was written whole %d times", changes, records.saves)
	}
	if longest > 2*whole {
		t.Errorf("the log grew to %d bytes, and a state has %d", longest, whole)
	}
	// One that says as much as all together is written whole at once.
	saves := records.saves
	for n := range apps {
		change(n)
	}
	follow(r.held.ID)
	if records.saves != saves+1 {
		t.Error("a change of everything went to the log")
	}
}

// A state that was written whole leaves a log behind that is of what came before it.
func TestLogOfWhatCameBeforeChangesNothing(t *testing.T) {
	t.Parallel()
	a := newAuthor(t)
	r, records := a.replica(), &flakyRecords{memoryRecords: memoryRecords{}}
	k := &keeper{records: records}
	accept := func(messages []*spokev1.Desired) {
		t.Helper()
		if _, err := give(r, false, messages...); err != nil {
			t.Fatal(err)
		}
		k.keep(r.held, r.latest)
	}
	first, second, third := a.set(desired(1)), a.set(desired(2)), a.set(desired(3, 1))
	accept(a.message(fleet.StateID{}, first, 1))
	accept(a.message(first, second, 1))
	accept(a.message(fleet.StateID{}, third, 1))
	if loaded, _ := k.load(); loaded.ID != third || len(loaded.Items) != 2 || len(k.records.Entries(changesLog)) != 1 {
		t.Errorf("loaded %s with %d items, beside a log of %d", loaded.ID, len(loaded.Items), len(k.records.Entries(changesLog)))
	}
}

func TestAStateThatCouldNotBeWrittenIsWrittenWithTheNextChange(t *testing.T) {
	t.Parallel()
	a := newAuthor(t)
	r, records := a.replica(), &flakyRecords{memoryRecords: memoryRecords{}}
	k := &keeper{records: records}
	for n, full := range []bool{false, true, false} {
		base := r.held.ID
		if n == 1 {
			base = fleet.StateID{} // whole
		}
		if _, err := give(r, false, a.message(base, a.set(desired(n+1)), 1)...); err != nil {
			t.Fatal(err)
		}
		records.full = full
		k.keep(r.held, r.latest)
	}
	if loaded, _ := k.load(); loaded.ID != r.held.ID {
		t.Errorf("on disk is %s, held is %s", loaded.ID, r.held.ID)
	}
}
