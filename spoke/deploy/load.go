package deploy

import (
	"context"
	"fmt"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/manifest"
	"flotilla.dev/flotilla/spoke/apply"
	"flotilla.dev/flotilla/spoke/inventory"
)

// Load takes an App up after a restart, from its inventory and the Manifest that it was last told to be: from then on
// its drift is corrected, its health known, and what is held shown. It applies and deletes nothing by itself. What cannot
// be resolved now waits for a pass.
func (e *Engine) Load(ctx context.Context, app fleet.Key, m *manifest.Manifest, release fleet.Release, binding fleet.Binding) error {
	a, unlock, err := e.enter(ctx, app)
	if err != nil {
		return fmt.Errorf("load %s: %w", app.Words(), err)
	}
	defer unlock()
	if _, err := e.agree(a, release); err != nil {
		return fmt.Errorf("load %s: %w", app.Words(), err)
	}
	wanted := map[fleet.ObjectRef]bool{} // with what is in the Manifest to be left alone
	untouched := map[fleet.ObjectRef]bool{}
	origins := map[fleet.ObjectRef]origin{}
	materials, unresolved := e.resolve(ctx, a, Target{App: app, Release: release, Manifest: m, Binding: binding})
	if unresolved != nil {
		e.log.Warn("load: not all objects can be made; the next pass will say why", "app", app.String(), "err", unresolved)
	}
	complete := unresolved == nil
	for _, entry := range materials {
		mapping, err := e.mapper.Map(ctx, entry.Ref)
		if err != nil {
			// Deploy will say what is the matter with the kind. Until then it is not known where the object is.
			e.log.Debug("load: a kind is not known", "app", app.String(), "object", entry.Ref.String(), "err", err)
			complete = false
			for _, ref := range anywhere(entry.Ref) {
				wanted[ref.ID()] = true
			}
			continue
		}
		w := e.wish(entry, mapping)
		id := w.Ref.ID()
		wanted[id] = true
		if plan(w, sight{}, false) == leave {
			untouched[id] = true
			continue
		}
		have, has := a.inv.Get(w.Ref)
		switch same := has && have.UID != "" && have.Applied == w.Stamp && !have.Going; {
		case !same:
			complete = false
		case isSecret(w.Ref), w.origin.inputs != nil:
			origins[id] = w.origin
		}
	}
	var leaving, aside []inventory.Entry
	for _, entry := range a.inv.Entries() {
		id := entry.Ref.ID()
		if wanted[id] && !untouched[id] {
			continue
		}
		aside = append(aside, entry)
		// What was only intended may not be there, and what has no name yet may be wanted: the next pass looks.
		if !wanted[id] && !entry.Kept && release.Prune && entry.UID != "" && unresolved == nil {
			leaving = append(leaving, entry)
		}
	}
	a.setAside(aside)
	if err := e.judge(a, release); err != nil {
		e.log.Warn("load: its health expressions are not understood", "app", app.String(), "err", err)
	}
	e.lookOut(a, release)
	guard := fleet.ParsePruneGuard(release.PruneGuard)
	held := withhold(leaving, a.inv.Entries(), len(wanted), guard, fleet.Digest{})
	a.mu.Lock()
	a.manifest, a.origins, a.held = m, origins, held
	// A kill can have cut off what an approval let go. That it is not carried out is for the next pass to say, which
	// knows what was approved: until then the App is not called applied.
	cutOff := held != nil && len(held.refs) < len(leaving)
	if complete && !cutOff {
		a.applied, a.bound = release.Digest(), binding.Digest()
	}
	a.mu.Unlock()
	e.kick(a)
	return nil
}

// anywhere are the places where an object may be, whatever its kind demands.
func anywhere(ref fleet.ObjectRef) [2]fleet.ObjectRef {
	return [2]fleet.ObjectRef{apply.Mapping{Namespaced: true}.Place(ref), apply.Mapping{}.Place(ref)}
}
