package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/health"
	"flotilla.dev/flotilla/spoke/inventory"
)

const (
	// maxTree bounds the objects whose owned ones are read for one answer.
	maxTree = 15_000
	// treePage is how many owned objects are read at once.
	treePage = 500
)

// owns says of what kind the objects are that a workload makes.
var owns = map[kindName]schema.GroupVersionResource{
	{"apps", "Deployment"}:  {Group: "apps", Version: "v1", Resource: "replicasets"},
	{"apps", "ReplicaSet"}:  podResource,
	{"apps", "StatefulSet"}: podResource,
	{"apps", "DaemonSet"}:   podResource,
	{"batch", "CronJob"}:    {Group: "batch", Version: "v1", Resource: "jobs"},
	{"batch", "Job"}:        podResource,
}

// Tree returns the objects in an App's inventory, how they are, and the ReplicaSets, Jobs and Pods that they own. A
// ReplicaSet that is scaled to zero is an old one and left out.
func (e *Engine) Tree(ctx context.Context, key fleet.Key) (fleet.Tree, error) {
	if err := e.awaitReady(ctx); err != nil {
		return fleet.Tree{}, err
	}
	a := e.known(key)
	if a == nil {
		return fleet.Tree{Objects: []fleet.TreeObject{}}, nil
	}
	inv := a.inventory()
	if err := inv.Broken(); err != nil {
		return fleet.Tree{}, err
	}
	states := map[fleet.ObjectRef]fleet.ObjectStatus{}
	for _, status := range e.health.NotReady(inv) {
		states[status.Object.ID()] = status
	}
	for ref, conflict := range e.tracker.Conflicts(inv) {
		states[ref] = fleet.ObjectStatus{Status: health.Conflict, Message: conflict}
	}
	entries := inv.Entries()
	tree := fleet.Tree{Left: max(0, len(entries)-maxTree)}
	entries = entries[:len(entries)-tree.Left]
	tree.Objects = make([]fleet.TreeObject, len(entries))
	numbers := make([]int, len(entries))
	for i, entry := range entries {
		numbers[i] = i
		tree.Objects[i] = treeObject(entry, states)
	}
	err := each(ctx, numbers, func(ctx context.Context, i int) (err error) {
		tree.Objects[i].Owned, err = e.owned(ctx, entries[i])
		return err
	})
	tree.Bound(fleet.MaxAnswer)
	return tree, err
}

// TreeOf returns objects that are in no inventory here, how they are, and what they own. The namespace of one whose kind has
// none is left out.
func (e *Engine) TreeOf(ctx context.Context, refs []fleet.ObjectRef) (fleet.Tree, error) {
	tree := fleet.Tree{Left: max(0, len(refs)-maxTree)}
	refs = refs[:len(refs)-tree.Left]
	tree.Objects = make([]fleet.TreeObject, len(refs))
	numbers := make([]int, len(refs))
	for i := range numbers {
		numbers[i] = i
	}
	err := each(ctx, numbers, func(ctx context.Context, i int) (err error) {
		tree.Objects[i], err = e.nodeOf(ctx, refs[i])
		return err
	})
	tree.Bound(fleet.MaxAnswer)
	return tree, err
}

func (e *Engine) nodeOf(ctx context.Context, ref fleet.ObjectRef) (fleet.TreeObject, error) {
	missing := fleet.TreeObject{Object: ref, Status: health.NotFound, Message: "it is not in the cluster"}
	mapping, err := e.mapper.Map(ctx, ref)
	if errors.Is(err, fleet.ErrNotFound) {
		return missing, nil
	}
	if err != nil {
		return missing, err
	}
	ref = mapping.Place(ref)
	missing.Object = ref
	object, err := e.readAs(ctx, e.accounts.Self, ref)
	if errors.Is(err, fleet.ErrNotFound) {
		return missing, nil
	}
	if err != nil {
		return missing, err
	}
	node := stateOf(object)
	node.Object = ref
	node.Owned, err = e.ownedBy(ctx, ref, object)
	return node, err
}

func treeObject(entry inventory.Entry, states map[fleet.ObjectRef]fleet.ObjectStatus) fleet.TreeObject {
	o := fleet.TreeObject{Object: entry.Ref, Status: health.Current}
	state, known := states[entry.Ref.ID()]
	switch {
	case known:
		o.Status, o.Message = state.Status, state.Message
	case entry.Going:
		o.Status, o.Message = health.Terminating, "its deletion is under way"
	case entry.UID == "":
		o.Status, o.Message = health.NotFound, "it is not applied yet"
	}
	return o
}

// owned returns what an object of the inventory owns.
func (e *Engine) owned(ctx context.Context, entry inventory.Entry) ([]fleet.TreeObject, error) {
	if _, has := owns[kindName{entry.Ref.Group, entry.Ref.Kind}]; !has || entry.UID == "" {
		return nil, nil
	}
	object, err := e.read(ctx, entry.Ref)
	if errors.Is(err, fleet.ErrNotFound) {
		return nil, nil // gone since
	}
	if err != nil {
		return nil, err
	}
	return e.ownedBy(ctx, entry.Ref, object)
}

func (e *Engine) ownedBy(ctx context.Context, owner fleet.ObjectRef, object *unstructured.Unstructured) (owned []fleet.TreeObject, err error) {
	resource, has := owns[kindName{owner.Group, owner.Kind}]
	if !has {
		return nil, nil
	}
	options := metav1.ListOptions{LabelSelector: health.Selector(owner, object), Limit: treePage}
	for {
		page, err := e.dynamic.Resource(resource).Namespace(owner.Namespace).List(ctx, options)
		if err != nil {
			return nil, fmt.Errorf("list the %s of %s: %w", resource.Resource, owner, err)
		}
		for i := range page.Items {
			child := &page.Items[i]
			if !slices.ContainsFunc(child.GetOwnerReferences(), func(r metav1.OwnerReference) bool { return r.UID == object.GetUID() }) || isScaledDown(child) {
				continue
			}
			node := stateOf(child)
			if node.Owned, err = e.ownedBy(ctx, node.Object, child); err != nil {
				return nil, err
			}
			owned = append(owned, node)
		}
		if options.Continue = page.GetContinue(); options.Continue == "" {
			return owned, nil
		}
	}
}

// isScaledDown reports whether an object is a ReplicaSet that shall have no Pods.
func isScaledDown(object *unstructured.Unstructured) bool {
	replicas, has, err := unstructured.NestedInt64(object.Object, "spec", "replicas")
	return object.GetKind() == "ReplicaSet" && has && err == nil && replicas == 0
}

func stateOf(object *unstructured.Unstructured) fleet.TreeObject {
	gvk := object.GroupVersionKind()
	node := fleet.TreeObject{Object: fleet.ObjectRef{
		Group: gvk.Group, Version: gvk.Version, Kind: gvk.Kind, Namespace: object.GetNamespace(), Name: object.GetName(),
	}}
	node.Status, node.Message = health.Evaluate(object, nil)
	var pod corev1.Pod
	if gvk.Kind == "Pod" && node.Status != health.Current && runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &pod) == nil {
		if reason := health.Reason([]*corev1.Pod{&pod}); reason != "" {
			node.Message = reason
		}
	}
	if node.Status == health.Current {
		node.Message = ""
	}
	return node
}
