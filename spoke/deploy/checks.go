package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"

	"flotilla.dev/flotilla/pkg/expr"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/account"
	"flotilla.dev/flotilla/spoke/apply"
	"flotilla.dev/flotilla/spoke/drift"
)

// ErrExpression says that the App's health expressions do not compile: the hub that took them is newer, perhaps.
var ErrExpression = errors.New("invalid CEL expression")

// judge has the App's objects judged by the health expressions of a Release from now on.
func (e *Engine) judge(a *app, release fleet.Release) error {
	a.mu.Lock()
	same := slices.Equal(a.exprs, release.HealthCheckExprs)
	before := a.health
	a.mu.Unlock()
	if same {
		return nil
	}
	after, err := expr.NewHealth(release.HealthCheckExprs)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrExpression, err)
	}
	a.mu.Lock()
	a.exprs, a.health = release.HealthCheckExprs, after
	a.mu.Unlock()
	for _, entry := range a.inventory().Entries() {
		if e.owner(entry.Ref) == a && (before.Judges(entry.Ref) || after.Judges(entry.Ref)) {
			e.health.Again(entry.Ref)
		}
	}
	return nil
}

// expressions are those of an object's App. It is health.Config.Expressions.
func (e *Engine) expressions(ref fleet.ObjectRef) *expr.Health {
	a := e.owner(ref)
	if a == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.health
}

// lookOut has the objects followed that Ready waits for and that are not the App's own.
func (e *Engine) lookOut(a *app, release fleet.Release) {
	checks := checksOf(a.key, release)
	var foreign []fleet.ObjectRef
	for _, ref := range checks {
		if _, own := a.own(e, ref); !own {
			foreign = append(foreign, ref)
		}
	}
	a.mu.Lock()
	a.checks = checks
	by := a.health
	a.mu.Unlock()
	e.lookout.Follow(a.key, foreign, by, e.agreed(a).by.User())
}

// checksOf are the objects that spec.healthChecks names. With wait they are ignored, as in Flux, and so is the App
// itself, which would wait for itself.
func checksOf(app fleet.Key, release fleet.Release) (refs []fleet.ObjectRef) {
	if release.Wait {
		return nil
	}
	for _, check := range release.HealthChecks {
		ref := fleet.ObjectRef{Group: "apps", Version: "v1", Kind: check.Kind, Namespace: check.Namespace, Name: check.Name}
		if check.APIVersion != "" {
			group, version, found := strings.Cut(check.APIVersion, "/")
			if !found {
				group, version = "", check.APIVersion
			}
			ref.Group, ref.Version = group, version
		}
		if ref.Namespace == "" {
			ref.Namespace = app.Namespace
		}
		itself := ref.Kind == app.Kind && ref.Name == app.Name && ref.Namespace == app.Namespace
		if !itself && !slices.Contains(refs, ref) {
			refs = append(refs, ref)
		}
	}
	return refs
}

// own returns the reference, as it is kept, of an object that the App has applied. A check of a cluster-scoped object
// has a namespace that the object has not.
func (a *app) own(e *Engine, check fleet.ObjectRef) (fleet.ObjectRef, bool) {
	inCluster := check
	inCluster.Namespace = ""
	for _, ref := range [2]fleet.ObjectRef{check.ID(), inCluster.ID()} {
		if a.counts(e, ref) {
			return ref, true
		}
	}
	return fleet.ObjectRef{}, false
}

// readFor returns an object that an App waits for, as the App's account. It is health.LookoutConfig.Read.
func (e *Engine) readFor(ctx context.Context, app fleet.Key, ref fleet.ObjectRef) (*unstructured.Unstructured, error) {
	by, err := e.standIn(app)
	if err != nil {
		return nil, err
	}
	object, err := e.readAs(ctx, by, ref)
	return object, by.Blame(ctx, e.client, err)
}

// standIn is who reads on behalf of an App. Without terms, it is nobody.
func (e *Engine) standIn(app fleet.Key) (*account.Account, error) {
	if a := e.known(app); a != nil {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.terms.by != nil {
			return a.terms.by, nil
		}
	}
	return nil, fmt.Errorf("%w: nobody reads for %s any more", fleet.ErrDenied, app.Words())
}

// follow watches the metadata of one object, as the App's account. It is health.LookoutConfig.Follow.
func (e *Engine) follow(ctx context.Context, app fleet.Key, ref fleet.ObjectRef, moved func()) error {
	by, err := e.standIn(app)
	if err != nil {
		return err
	}
	mapping, err := e.mapper.Served(ctx, ref)
	if err != nil {
		return err
	}
	ref = mapping.Place(ref)
	resource := by.Metadata.Resource(mapping.Resource).Namespace(ref.Namespace)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	drift.Follow(ctx, drift.Source{
		Fields: "metadata.name=" + ref.Name,
		List: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			return resource.List(ctx, options)
		},
		Watch: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			return resource.Watch(ctx, options)
		},
	}, drift.Follower{
		Listed: func([]metav1.Object, uint64) { moved() },
		Event:  func(watch.EventType, metav1.Object) { moved() },
		Failed: func(err error) { cancel(err) }, // the kind may be served elsewhere by now
	})
	return apply.Explain(ref, "watch", context.Cause(ctx))
}
