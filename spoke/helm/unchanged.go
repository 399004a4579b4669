package helm

import (
	"context"
	"fmt"
	"maps"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/reference"
)

// unchanged reports whether all that the pass depends on is as it was when the newest one left nothing to do. Nothing is
// asked for it where the watches tell. After a restart, and when a full pass is asked for, it is compared once.
func (p *pass) unchanged(ctx context.Context) bool {
	r, c := p.app.record(), p.target.Controls
	p.app.mu.Lock()
	stale := p.app.stale
	p.app.mu.Unlock()
	if r.Quiet == nil || r.Quiet.Basis != p.basis || stale || r.Intent != nil ||
		requested(c.Helm.ForceAt, c.RequestedAt, r.Status.LastHandledForceAt) || requested(c.Helm.ResetAt, c.RequestedAt, r.Status.LastHandledResetAt) {
		return false
	}
	if p.app.confirmed && !p.target.Verify {
		return true
	}
	read, err := p.read(ctx)
	if err != nil || !maps.Equal(readVersions(read), r.Quiet.Read) {
		return false
	}
	secrets, at, err := p.engine.storage.list(ctx, p.place())
	if err != nil || !maps.Equal(storedVersions(secrets), r.Quiet.Stored) {
		return false
	}
	p.expect(read, secrets, at)
	return true
}

// expect has what the pass depends on watched from here on.
func (p *pass) expect(read []reference.Reading, secrets map[string]metav1.PartialObjectMetadata, at uint64) {
	p.app.confirmed = true
	p.app.mu.Lock()
	disturbed := p.app.disturbed
	p.app.disturbed = false
	p.app.mu.Unlock()
	if disturbed {
		p.engine.refresh(p.app)
	}
	p.engine.references.Set(p.app.key, read)
	p.engine.storage.expect(p.app.key, expectation{p.place(), at, slices.Collect(maps.Keys(secrets))})
}

// stay ends a pass that nothing has changed for.
func (p *pass) stay(ctx context.Context) error {
	r := p.app.record()
	err := standing(r.Status, p.plan.Spec)
	if err == nil && (r.Applied != p.target.Release.Digest() || r.Bound != p.target.Binding.Digest()) {
		p.app.update(func(r *record) { r.Applied, r.Bound = p.target.Release.Digest(), p.target.Binding.Digest() })
		err = p.engine.save(ctx, p.app)
	}
	return err
}

// read finds the versions of the ConfigMaps and Secrets that values are from, as of now or before: what Helm's process reads
// is that or newer.
func (p *pass) read(ctx context.Context) (read []reference.Reading, err error) {
	seen := map[fleet.ObjectRef]bool{}
	for i, from := range p.plan.Spec.ValuesFrom {
		ref := fleet.ObjectRef{Version: "v1", Kind: from.Kind, Namespace: p.app.key.Namespace, Name: from.Name}
		resource := schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
		if from.Kind == "Secret" {
			resource = secrets
		}
		if seen[ref] {
			continue
		}
		seen[ref] = true
		object, err := p.engine.meta.Resource(resource).Namespace(ref.Namespace).Get(ctx, ref.Name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			read = append(read, reference.Reading{Ref: ref})
		case err != nil:
			return nil, &Failure{Err: fmt.Errorf("spec.valuesFrom[%d]: get %s: %w", i, ref, err), Reason: "ValuesError", Transient: !apierrors.IsForbidden(err)}
		default:
			read = append(read, reference.Reading{Ref: ref, Version: object.ResourceVersion})
		}
	}
	return read, nil
}

func (p *pass) place() place { return place{p.names.Storage, p.names.Release} }

func readVersions(read []reference.Reading) map[string]string {
	if len(read) == 0 {
		return nil
	}
	versions := map[string]string{}
	for _, r := range read {
		versions[r.Ref.Kind+"/"+r.Ref.Name] = r.Version
	}
	return versions
}

func storedVersions(secrets map[string]metav1.PartialObjectMetadata) map[string]string {
	if len(secrets) == 0 {
		return nil
	}
	versions := map[string]string{}
	for name, secret := range secrets {
		versions[name] = secret.ResourceVersion
	}
	return versions
}
