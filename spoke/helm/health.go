package helm

import (
	"context"
	"errors"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"

	"flotilla.dev/flotilla/pkg/expr"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/apply"
	"flotilla.dev/flotilla/spoke/health"
)

// heal adds to a Status how the App's objects are.
func (e *Engine) heal(a *app, s *Status) {
	a.mu.Lock()
	own, unread, corrections := a.objects, a.unread, a.corrections
	current, has := a.stored.record.current()
	elsewhere := make(map[fleet.ObjectRef]string, len(a.elsewhere))
	for ref, who := range a.elsewhere {
		elsewhere[ref] = who
	}
	a.mu.Unlock()
	s.DriftCorrections = corrections
	switch {
	case !has:
		return // there is nothing that could be healthy
	case own == nil || own.of.Version != current.Version:
		message := "its objects are not known yet"
		if unread != nil {
			message = "its objects are not known: " + cut(unread.Error())
		}
		s.Healthy = fleet.Condition{Status: fleet.Unknown, Reason: fleet.ReasonProgressing, Message: message}
		return
	}
	conflicts := e.tracker.Conflicts(own)
	for ref, who := range elsewhere {
		conflicts[ref] = who + " has it too"
	}
	sick := append([]fleet.ObjectStatus{}, own.unserved...)
	for ref, conflict := range conflicts {
		if _, others := elsewhere[ref]; others || e.owner(ref) == a {
			sick = append(sick, fleet.ObjectStatus{Object: ref, Status: health.Conflict, Message: conflict})
		}
	}
	for _, status := range e.health.NotReady(own) {
		if _, fought := conflicts[status.Object]; !fought && e.owner(status.Object) == a {
			sick = append(sick, status)
			s.Failed = s.Failed || status.Status == health.Failed
		}
	}
	health.Sort(sick)
	s.Objects = own.Len() + len(own.unserved)
	s.ObjectsNotReady = len(sick)
	s.NotReady = sick[:min(len(sick), fleet.MaxNotReady)]
	s.Healthy = health.Sum(sick, s.Objects, true)
}

// expressions are those of an object's App. It is health.Config.Expressions.
func (e *Engine) expressions(ref fleet.ObjectRef) *expr.Health {
	a := e.owner(ref)
	if a == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.terms == nil {
		return nil
	}
	return a.terms.health
}

// changed tells the owner's worker that the App's Status is another one.
func (e *Engine) changed(ref fleet.ObjectRef) {
	if a := e.owner(ref); a != nil {
		e.config.Changed(a.key)
	}
}

// seen passes an event on to health. Of several Apps that have the object, it is that one's from now on which its labels
// name. It is drift.Config.Seen.
func (e *Engine) seen(ref fleet.ObjectRef, live *metav1.PartialObjectMetadata, ready bool) {
	a := e.owner(ref)
	if a == nil {
		return
	}
	if live != nil && e.yield(a, ref, live.Labels) {
		e.health.Again(ref)
	}
	e.health.Seen(ref, live, ready)
}

// read returns an App's own object, as the App's account: what says that the object is the App's is a Secret that whoever has
// that account may have written. It is health.Config.Read.
func (e *Engine) read(ctx context.Context, ref fleet.ObjectRef) (*unstructured.Unstructured, error) {
	known, by, has := e.object(ref)
	if !has {
		return nil, fleet.ErrNotFound
	}
	mapping, err := e.mapper.Served(ctx, known.ref)
	if err != nil {
		return nil, errors.New(err.Error()) // a kind that is not served is not an object that is gone
	}
	object, err := by.Dynamic.Resource(mapping.Resource).Namespace(known.ref.Namespace).Get(ctx, known.ref.Name, metav1.GetOptions{})
	return object, by.Blame(ctx, e.client, apply.Explain(known.ref, "get", err))
}

// watchPods watches as the App's account too. It is health.Config.Pods.
func (e *Engine) watchPods(ctx context.Context, of fleet.ObjectRef, selector string) (watch.Interface, error) {
	_, by, has := e.object(of)
	if !has {
		return nil, fleet.ErrNotFound
	}
	pods := by.Dynamic.Resource(schema.GroupVersionResource{Version: "v1", Resource: "pods"}).Namespace(of.Namespace)
	return pods.Watch(ctx, metav1.ListOptions{LabelSelector: selector})
}
