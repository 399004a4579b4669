package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/manifest"
	"flotilla.dev/flotilla/spoke/apply"
	"flotilla.dev/flotilla/spoke/inventory"
)

// wish is an entry of a Manifest, placed in the cluster.
type wish struct {
	manifest.Entry
	origin origin
	// Ref hides the entry's: it has the namespace that the kind demands.
	Ref     fleet.ObjectRef
	Mapping apply.Mapping
	// Stamp is what the inventory will say of the content.
	Stamp fleet.Digest
}

// place finds where an entry goes. A kind that is not found fails the pass, and is not looked for again in it.
func (p *pass) place(ctx context.Context, entry material) (wish, error) {
	kind := fleet.ObjectRef{Group: entry.Ref.Group, Version: entry.Ref.Version, Kind: entry.Ref.Kind}
	err := p.missing[kind]
	var mapping apply.Mapping
	if err == nil {
		if mapping, err = p.find(ctx, entry.Ref); err == nil {
			return p.engine.wish(entry, mapping), nil
		}
		p.missing[kind] = err
	}
	if entry.secret && entry.Ref != entry.source.Ref && errors.Is(err, fleet.ErrNotFound) {
		return wish{}, fmt.Errorf("%s: with its variables it is of a kind that is not there: %w", entry.source.Ref, fleet.ErrNotFound)
	}
	return wish{}, fmt.Errorf("%s: %w", entry.Ref, err)
}

func (p *pass) find(ctx context.Context, ref fleet.ObjectRef) (apply.Mapping, error) {
	mapping, err := p.engine.mapper.Map(ctx, ref)
	if errors.Is(err, fleet.ErrNotFound) && p.defined[kindName{ref.Group, ref.Kind}] {
		ctx, cancel := context.WithTimeout(ctx, definitionTimeout)
		defer cancel()
		mapping, err = p.engine.mapper.Await(ctx, ref)
	}
	return mapping, err
}

func (e *Engine) wish(m material, mapping apply.Mapping) wish {
	ref := mapping.Place(m.Ref)
	return wish{Entry: m.Entry, origin: m.origin, Ref: ref, Mapping: mapping, Stamp: e.stamps.of(ref, m.Digest, m.secret)}
}

// op is what a pass does with an object.
type op uint8

const (
	// keep: it is as it should be.
	keep op = iota
	// restamp: it stays as it is; only the inventory takes note of the new content.
	restamp
	// leave: it is neither applied nor pruned; should it have been the App's, it is that no more.
	leave
	// verify: apply what was applied before, in case somebody changed it.
	verify
	// write: create it, or apply other content.
	write
)

// sight is what is known of an object at the time of planning.
type sight struct {
	inventory.Entry
	// Owned: the inventory has it, with a UID.
	Owned bool
	// Lost: another App has taken it over since.
	Lost bool
	// Moved: drift found something that is not dealt with yet.
	Moved bool
	// Left: the live object says that it is not to be touched.
	Left bool
}

func (e *Engine) sight(a *app, w wish) sight {
	entry, has := a.inv.Get(w.Ref)
	owner := e.owner(w.Ref)
	return sight{
		Entry: entry,
		Owned: has && entry.UID != "",
		Lost:  owner != nil && owner != a,
		Moved: e.tracker.Moved(w.Ref),
		Left:  e.tracker.Left(w.Ref),
	}
}

// plan says what a pass does with an object. All asks for a full pass.
func plan(w wish, s sight, all bool) op {
	same := s.Owned && s.Applied == w.Stamp
	switch {
	case w.Untouched():
		return leave
	case same && s.Lost:
		return keep // it changes hands again when one of the two Apps changes it
	case same && s.Left:
		return keep
	case s.Owned && w.SSA == manifest.SSAIfNotPresent && !s.Moved && !all:
		if same {
			return keep
		}
		return restamp
	case s.Owned && w.SSA == manifest.SSAIfNotPresent:
		return write // a dry-run tells whether it is still there
	case !same:
		return write // of what is not to be touched too: it may be the Manifest that has said so
	case s.Moved, all:
		return verify
	}
	return keep
}

// wantAgain changes the entry of an object that the App wants: one that was let go meanwhile may be gone, and is intended,
// as one that never was.
func wantAgain(entry *inventory.Entry) {
	if entry.Going {
		entry.UID, entry.Applied, entry.Going = "", fleet.Digest{}, false
	}
}

// announced is what the inventory says of an object from before it is written, or restamped: of one that is being
// written, no content is known.
func (s *step) announced() inventory.Entry {
	entry := s.before
	entry.Ref, entry.Kept, entry.Protected = s.Ref, s.PruneDisabled, s.Protected
	entry.Fresh = entry.Fresh || !s.had
	entry.Applied = fleet.Digest{}
	entry.Secret = entry.Secret || s.origin.secret
	if s.op == restamp {
		entry.Applied = s.Stamp
		if s.preview.UID != "" {
			entry.UID = string(s.preview.UID)
		}
	}
	return entry
}

// leavers are the entries of objects that the App does not want any more.
func leavers(entries []inventory.Entry, desired map[fleet.ObjectRef]fleet.ObjectRef) []inventory.Entry {
	return slices.DeleteFunc(entries, func(entry inventory.Entry) bool {
		_, wanted := desired[entry.Ref.ID()]
		return wanted
	})
}
