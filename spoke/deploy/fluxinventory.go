package deploy

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/inventory"
)

// takeIn makes the App's what a suspended Flux object of its name has in its inventory, as objects that are intended: the
// pass applies those that the Manifest has, and prunes the others as if they had been the App's. From then on the Flux
// object can be deleted. Each state of Flux's inventory is taken in once: what the App let go since stays so.
func (e *Engine) takeIn(ctx context.Context, a *app) error {
	if origin := e.flux.OriginOf(a.key); origin == "" || origin == a.inv.Origin() {
		return nil
	}
	object, active, err := e.flux.Read(ctx, a.key)
	switch {
	case err != nil || object == nil:
		return err
	case active:
		return managedByFlux(a.key)
	}
	entries, err := fluxInventory(object)
	if err != nil {
		return err
	}
	taken := 0
	for _, ref := range entries {
		// Where the kind is not served, the pass says so if the Manifest has the object, and the prune if not.
		if mapping, err := e.mapper.Served(ctx, ref); err == nil {
			ref = mapping.Place(ref)
		}
		if !a.inv.Has(ref) {
			a.inv.Put(inventory.Entry{Ref: ref})
			taken++
		}
	}
	// The origin says that all entries are saved, so it follows them.
	if err := e.save(ctx, a); err != nil {
		return err
	}
	a.inv.SetOrigin(originOf(object))
	if taken > 0 {
		e.event(a, fleet.ObjectRef{}, false, reasonTakenOver, fmt.Sprintf(
			"%d objects of the suspended Flux Kustomization are taken over; once the App is ready, that can be deleted: Flux deletes nothing for it", taken))
		e.log.Info("taken over from Flux", "app", a.key.String(), "objects", taken)
	}
	return nil
}

// takeInChanges takes in what Flux notes after the App was taken over: it may have had a reconciliation under way when it
// was suspended.
func (e *Engine) takeInChanges(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-e.fluxNoted.C():
		}
		for _, a := range e.all() {
			a.mu.Lock()
			taken := a.manifest != nil
			a.mu.Unlock()
			if !taken {
				continue // its first pass does it
			}
			if err := e.takeInOf(ctx, a.key); err != nil && ctx.Err() == nil {
				e.log.Warn("Flux's inventory is not taken in before the next pass", "app", a.key.String(), "err", err)
			}
		}
	}
}

func (e *Engine) takeInOf(ctx context.Context, key fleet.Key) error {
	if managed, known := e.flux.Manages(key); managed || !known {
		return nil
	}
	a, unlock, err := e.enter(ctx, key)
	if err != nil {
		return err
	}
	defer unlock()
	if err := e.takeIn(ctx, a); err != nil {
		return err
	}
	return e.save(ctx, a)
}

// fluxInventory reads the inventory in a Flux object's status.
func fluxInventory(kustomization *unstructured.Unstructured) ([]fleet.ObjectRef, error) {
	items, _, _ := unstructured.NestedSlice(kustomization.Object, "status", "inventory", "entries")
	refs := make([]fleet.ObjectRef, 0, len(items))
	for i, item := range items {
		fields, _ := item.(map[string]any)
		id, _ := fields["id"].(string)
		version, _ := fields["v"].(string)
		ref, valid := parseFluxID(id, version)
		if !valid {
			return nil, fmt.Errorf("take over from Flux: Kustomization/%s/%s: status.inventory.entries[%d]: %w: %q, version %q, names no object; "+
				"delete the suspended Kustomization to go on without its inventory: what Git has no more then stays in the cluster",
				kustomization.GetNamespace(), kustomization.GetName(), i, fleet.ErrInvalid, id, version)
		}
		refs = append(refs, ref)
	}
	return refs, nil
}

// parseFluxID reads namespace_name_group_kind (fluxcd/cli-utils, object.ObjMetadata). Names of RBAC objects have colons,
// which are written as two underscores; no other name has underscores.
func parseFluxID(id, version string) (fleet.ObjectRef, bool) {
	namespace, rest, found := strings.Cut(id, "_")
	last := strings.LastIndexByte(rest, '_')
	if !found || last < 0 {
		return fleet.ObjectRef{}, false
	}
	kind, rest := rest[last+1:], rest[:last]
	last = strings.LastIndexByte(rest, '_')
	if last < 0 {
		return fleet.ObjectRef{}, false
	}
	group, name := rest[last+1:], strings.ReplaceAll(rest[:last], "__", ":")
	ref := fleet.ObjectRef{Group: group, Version: version, Kind: kind, Namespace: namespace, Name: name}
	return ref, name != "" && kind != "" && version != ""
}

// originOf names a state of a Flux object's inventory; empty: there is none.
func originOf(kustomization *unstructured.Unstructured) string {
	items, _, _ := unstructured.NestedSlice(kustomization.Object, "status", "inventory", "entries")
	if len(items) == 0 {
		return ""
	}
	var text strings.Builder
	for _, item := range items {
		fields, _ := item.(map[string]any)
		fmt.Fprintln(&text, fields["id"], fields["v"])
	}
	return "flux/" + string(kustomization.GetUID()) + "/" + fleet.DigestOf([]byte(text.String())).String()
}
