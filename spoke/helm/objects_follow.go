package helm

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/health"
)

// objects are those of a version of a release. Of what is in them, digests are kept: the release has values of Secrets. It is
// an ObjectSet.
type objects struct {
	of fleet.HelmSnapshot
	// secret is where they are stored, at a resourceVersion.
	secret fleet.ObjectRef
	at     string
	all    map[fleet.ObjectRef]object // by reference without version
	// unserved are of kinds that the cluster does not have.
	unserved []fleet.ObjectStatus

	// settled says that this is the newest version, and deployed: what it says of its objects holds. Opened is their content
	// while somebody needs it. Both are under app.mu.
	settled bool
	opened  *opened
}

type object struct {
	ref    fleet.ObjectRef
	digest fleet.Digest
	// document of the manifest that it is in.
	document int
}

// Len implements fleet.ObjectSet.
func (o *objects) Len() int {
	if o == nil {
		return 0
	}
	return len(o.all)
}

// Has implements fleet.ObjectSet.
func (o *objects) Has(ref fleet.ObjectRef) bool {
	if o == nil {
		return false
	}
	_, has := o.all[ref.ID()]
	return has
}

// Refs implements fleet.ObjectSet.
func (o *objects) Refs() []fleet.ObjectRef {
	if o == nil {
		return nil
	}
	return slices.Collect(maps.Keys(o.all))
}

// follow finds out which objects the release has now, and has them watched. Before it is known how they are treated, nothing
// is read.
func (e *Engine) follow(ctx context.Context, a *app) error {
	terms, err := e.agree(a)
	if err != nil || terms == nil {
		return err
	}
	record := a.record()
	a.mu.Lock()
	recheck, before := a.recheck, a.objects
	a.recheck = false
	a.mu.Unlock()
	current, has := record.current()
	switch {
	case !has || record.Target == nil:
		e.replace(a, nil, nil)
		return nil
	case before != nil && !recheck && before.of.Version == current.Version:
		e.kick(a)
		return nil
	}
	found, _, err := e.storage.list(ctx, place{record.Target.Storage, record.Target.Release})
	if err != nil {
		return err
	}
	after := &objects{of: current, secret: secretOf(record.Target, current), all: map[fleet.ObjectRef]object{}}
	secret, there := found[after.secret.Name]
	if !there {
		return fmt.Errorf("%w: %s, which has version %d of the release", fleet.ErrNotFound, after.secret, current.Version)
	}
	after.settled = current.Status == statusDeployed && secret.Labels[statusLabel] == statusDeployed && newestOf(found) == current.Version
	if before != nil && before.secret == after.secret && before.at == secret.ResourceVersion && len(before.unserved) == 0 {
		a.mu.Lock()
		before.settled = after.settled
		a.mu.Unlock()
		e.kick(a)
		return nil
	}
	read, at, err := e.stored(ctx, terms.by, after.secret)
	if err != nil {
		return err
	}
	after.at = at
	if err := read.each(func(c content) error { return e.place(ctx, after, c, record.Target.Namespace) }); err != nil {
		return fmt.Errorf("%s: %w", after.secret, err)
	}
	named, err := e.named(ctx, a, terms.by, after)
	if err != nil {
		return err
	}
	e.replace(a, after, named)
	if n := len(after.unserved); n > 0 {
		return fmt.Errorf("%s: %s", after.unserved[0].Object, after.unserved[0].Message)
	}
	return nil
}

// place takes in an object, where its kind demands.
func (e *Engine) place(ctx context.Context, o *objects, c content, namespace string) error {
	ref := c.ref
	mapping, err := e.mapper.Map(ctx, ref)
	switch {
	case err != nil && !errors.Is(err, fleet.ErrNotFound):
		return fmt.Errorf("%s: %w", ref, err) // whether there is such a kind is not known
	case err != nil:
		o.unserved = append(o.unserved, fleet.ObjectStatus{Object: ref.ID(), Status: health.NotFound, Message: err.Error()})
		return nil
	case !mapping.Namespaced:
		ref.Namespace = ""
	case ref.Namespace == "":
		ref.Namespace = namespace
	}
	o.all[ref.ID()] = object{ref, fleet.DigestOf(c.data), c.document}
	return nil
}

// secretOf is where Helm has stored a version.
func secretOf(t *target, v fleet.HelmSnapshot) fleet.ObjectRef {
	return fleet.ObjectRef{
		Version: "v1", Kind: "Secret", Namespace: t.Storage, Name: fmt.Sprintf("sh.helm.release.v1.%s.v%d", t.Release, v.Version),
	}
}

func newestOf(found map[string]metav1.PartialObjectMetadata) (newest int) {
	for _, secret := range found {
		version, _ := strconv.Atoi(secret.Labels["version"]) // Helm's are numbers
		newest = max(newest, version)
	}
	return newest
}

// replace makes these the App's objects; nil: it has none. Named are those that others have too and that are the App's by their
// labels. All are looked at: what was ready was another version's.
func (e *Engine) replace(a *app, after *objects, named map[fleet.ObjectRef]bool) {
	a.mu.Lock()
	before := a.objects
	a.objects = after
	for ref := range a.drifted {
		if !after.Has(ref) {
			delete(a.drifted, ref)
		}
	}
	for ref := range a.elsewhere {
		if !after.Has(ref) {
			delete(a.elsewhere, ref)
		}
	}
	for ref := range a.failed {
		if !after.Has(ref) {
			delete(a.failed, ref)
		}
	}
	a.mu.Unlock()
	for _, ref := range before.Refs() {
		if !after.Has(ref) {
			e.disown(a, ref)
		}
	}
	for _, ref := range after.Refs() {
		e.claim(a, ref, named[ref])
		if e.owner(ref) != a {
			continue // it is looked at for who has it
		}
		if before.Has(ref) {
			e.health.Applied(ref, &metav1.PartialObjectMetadata{})
		} else {
			e.health.Expect(ref)
		}
		e.tracker.Track(after.all[ref].ref)
	}
	e.kick(a)
}
