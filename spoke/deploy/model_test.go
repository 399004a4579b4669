package deploy

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"k8s.io/apimachinery/pkg/types"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/manifest"
	"flotilla.dev/flotilla/spoke/inventory"
)

// world is a cluster with one App's inventory in it, as far as a pass can tell. A pass on it decides as the real one
// does, by the same functions, and has its effects in the same order.
type world struct {
	objects map[fleet.ObjectRef]thing
	saved   map[fleet.ObjectRef]inventory.Entry
	uids    int
	// blind: drift has not seen anything yet when a pass is planned.
	blind bool
	// left is how many effects there are before the crash.
	left int
	// deleted has what was deleted and not made again in its place.
	deleted []fleet.ObjectRef
}

type thing struct {
	uid, content string
	ours         bool // with our labels, and our entry in managedFields
}

// wanted is an object of a new set.
type wanted struct {
	content string
	mode    manifest.Mode
	// frozen objects cannot be changed: they are made anew. Refused ones the API server does not take.
	frozen, refused bool
}

var errCrash = errors.New("crash")

// ample effects: no crash.
const ample = 1 << 30

func newWorld() *world {
	return &world{objects: map[fleet.ObjectRef]thing{}, saved: map[fleet.ObjectRef]inventory.Entry{}, left: ample}
}

func (w *world) clone() *world {
	c := *w
	c.objects, c.saved, c.deleted = maps.Clone(w.objects), maps.Clone(w.saved), nil
	return &c
}

// effect comes before every one.
func (w *world) effect() error {
	if w.left == 0 {
		return errCrash
	}
	w.left--
	return nil
}

func (w *world) save(inv *inventory.Inventory) error {
	if err := w.effect(); err != nil {
		return err
	}
	w.saved = map[fleet.ObjectRef]inventory.Entry{}
	for _, entry := range inv.Entries() {
		w.saved[entry.Ref.ID()] = entry
	}
	return nil
}

func (w *world) apply(s *step, want wanted) (uid string, err error) {
	live, there := w.objects[s.Ref.ID()]
	if there && want.frozen && live.content != want.content {
		if err := w.effect(); err != nil {
			return "", err
		}
		delete(w.objects, s.Ref.ID())
		there = false
	}
	if err := w.effect(); err != nil {
		return "", err
	}
	if !there {
		w.uids++
		live.uid = strconv.Itoa(w.uids)
	}
	w.objects[s.Ref.ID()] = thing{uid: live.uid, content: want.content, ours: true}
	return live.uid, nil
}

func nameOf(i int) fleet.ObjectRef {
	return fleet.ObjectRef{Version: "v1", Kind: "ConfigMap", Namespace: "n", Name: fmt.Sprintf("cm%d", i)}
}

// pass brings a set into the world, after a restart.
func (w *world) pass(set map[fleet.ObjectRef]wanted, prune bool, guard fleet.PruneGuard, approved fleet.Digest, all bool) (held *withheld, err error) {
	inv := inventory.New(fleet.Key{})
	for _, entry := range w.saved {
		inv.Put(entry)
	}
	if err := w.stage(inv, set, all); err != nil {
		if errors.Is(err, errCrash) {
			return nil, err
		}
		return nil, errors.Join(err, w.save(inv))
	}
	desired := map[fleet.ObjectRef]fleet.ObjectRef{}
	for ref := range set {
		desired[ref.ID()] = ref
	}
	var going []inventory.Entry
	for _, entry := range leavers(inv.Entries(), desired) {
		if entry.UID == "" {
			entry.UID = w.objects[entry.Ref.ID()].uid // empty: it is not there
		}
		if live := w.objects[entry.Ref.ID()]; !prune || entry.Kept || entry.UID == "" || inv.Has(entry.Ref) && !live.ours && live.uid != "" {
			inv.Remove(entry.Ref)
			continue
		}
		inv.Put(entry)
		going = append(going, entry)
	}
	held = withhold(going, inv.Entries(), len(desired), guard, approved)
	if held != nil {
		going = slices.DeleteFunc(going, func(entry inventory.Entry) bool { return !entry.Going })
	}
	if len(going) > 0 {
		for _, entry := range going {
			inv.Edit(entry.Ref, func(entry *inventory.Entry) { entry.Going = true })
		}
		if err := w.save(inv); err != nil {
			return held, err
		}
	}
	if held == nil {
		for _, entry := range inv.Entries() {
			inv.Edit(entry.Ref, func(entry *inventory.Entry) { entry.Fresh = false })
		}
	}
	for _, entry := range going {
		if _, there := w.objects[entry.Ref.ID()]; there {
			if err := w.effect(); err != nil {
				return held, err
			}
			delete(w.objects, entry.Ref.ID())
			w.deleted = append(w.deleted, entry.Ref.ID())
		}
		inv.Remove(entry.Ref)
	}
	return held, w.save(inv)
}

func (w *world) stage(inv *inventory.Inventory, set map[fleet.ObjectRef]wanted, all bool) error {
	var steps []*step
	for _, ref := range slices.SortedFunc(maps.Keys(set), fleet.ObjectRef.Compare) {
		want := set[ref]
		inv.Edit(ref, wantAgain)
		entry, has := inv.Get(ref)
		s := &step{before: entry, had: has}
		s.Entry, s.Ref, s.Stamp = manifest.Entry{Ref: ref, Mode: want.mode}, ref, fleet.DigestOf([]byte(want.content))
		s.op = plan(s.wish, sight{Entry: entry, Owned: has && entry.UID != "", Moved: w.moved(entry)}, all)
		if live, there := w.objects[ref.ID()]; s.op == write && there && want.mode.SSA == manifest.SSAIfNotPresent {
			s.op, s.preview.UID = restamp, types.UID(live.uid) // the dry-run says so
		}
		if s.op == write && want.refused {
			return fleet.ErrInvalid // of the dry-run: nothing of the stage is written
		}
		steps = append(steps, s)
	}
	writes := false
	for _, s := range steps {
		switch s.op {
		case leave:
			inv.Remove(s.Ref)
		case write, restamp:
			inv.Put(s.announced())
			writes = writes || s.op == write
		}
	}
	if writes {
		if err := w.save(inv); err != nil {
			return err
		}
	}
	for _, s := range steps {
		if s.op != write && s.op != verify {
			continue
		}
		uid, err := w.apply(s, set[s.Ref])
		if err != nil {
			return err
		}
		entry, _ := inv.Get(s.Ref)
		entry.UID, entry.Applied = uid, s.Stamp
		inv.Put(entry)
	}
	return nil
}

// moved is what drift would say of an object.
func (w *world) moved(entry inventory.Entry) bool {
	return !w.blind && w.drifted(entry)
}

// drifted reports whether an object is not what the inventory says of it.
func (w *world) drifted(entry inventory.Entry) bool {
	live, there := w.objects[entry.Ref.ID()]
	return entry.UID != "" && (!there || live.uid != entry.UID || fleet.DigestOf([]byte(live.content)) != entry.Applied)
}

// correct puts drift back after a pass, as lastApplied lets it.
func (w *world) correct(set map[fleet.ObjectRef]wanted) {
	for id, entry := range w.saved {
		want := set[versioned(id)]
		live, there := w.objects[id]
		if entry.Going || entry.Applied.IsZero() || want.mode.Untouched() || there && want.mode.SSA == manifest.SSAIfNotPresent || !w.drifted(entry) {
			continue
		}
		if fleet.DigestOf([]byte(want.content)) != entry.Applied {
			continue
		}
		if !there || want.frozen {
			w.uids++
			live.uid = strconv.Itoa(w.uids)
		}
		w.objects[id] = thing{uid: live.uid, content: want.content, ours: true}
		entry.UID = live.uid
		w.saved[id] = entry
	}
}
