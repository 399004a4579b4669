package deploy

import (
	"context"
	"errors"
	"fmt"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/manifest"
)

// Load takes an App up after a restart, from its inventory and the Manifest that it was last told to be: from then on
// its drift is corrected and its health known. It applies and deletes nothing by itself.
func (e *Engine) Load(ctx context.Context, app fleet.Key, m *manifest.Manifest, release fleet.Release) error {
	a, unlock, err := e.enter(ctx, app)
	if err != nil {
		return fmt.Errorf("load %s: %w", app, err)
	}
	defer unlock()
	stale := map[fleet.ObjectRef]bool{}
	for _, entry := range a.inv.Entries() {
		stale[entry.Ref.ID()] = true
	}
	secrets := map[fleet.ObjectRef]fleet.Digest{}
	complete := true
	for _, entry := range m.Entries {
		mapping, err := e.mapper.Map(ctx, entry.Ref)
		if errors.Is(err, fleet.ErrNotFound) {
			complete = false // of a kind that was never there, or is not any more: Deploy will say
			continue
		}
		if err != nil {
			return fmt.Errorf("load %s: %s: %w", app, entry.Ref, err)
		}
		w := e.wish(entry, mapping)
		delete(stale, w.Ref.ID())
		have, has := a.inv.Get(w.Ref)
		same := has && have.UID != "" && have.Applied == w.Stamp
		if same && isSecret(w.Ref) {
			secrets[w.Ref.ID()] = entry.Digest
		}
		if !same && plan(w, sight{}, false) != leave {
			complete = false
		}
	}
	a.mu.Lock()
	a.manifest, a.release, a.stale, a.secrets = m, release, stale, secrets
	if complete {
		a.applied = release.Digest()
	}
	a.mu.Unlock()
	e.kick(a)
	return nil
}
