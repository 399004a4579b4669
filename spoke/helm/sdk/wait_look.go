package sdk

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/resource"
	"k8s.io/client-go/dynamic"

	"flotilla.dev/flotilla/spoke/health"
)

// sight is what was seen of an object last.
type sight struct {
	info *resource.Info
	// object is nil where it was not seen; state and message then say why.
	object         *unstructured.Unstructured
	state, message string
}

func (s *sight) gvk() schema.GroupVersionKind { return s.info.Mapping.GroupVersionKind }

func (s *sight) String() string {
	name := s.gvk().Kind + "/"
	if s.info.Namespace != "" {
		name += s.info.Namespace + "/"
	}
	name += s.info.Name + " is " + s.state
	if s.message != "" {
		name += ": " + s.message
	}
	return name
}

func (w *waiter) look(ctx context.Context, seen *sight) {
	seen.object, seen.message = nil, ""
	var client dynamic.ResourceInterface = w.client.Resource(seen.info.Mapping.Resource)
	if seen.info.Namespace != "" {
		client = w.client.Resource(seen.info.Mapping.Resource).Namespace(seen.info.Namespace)
	}
	object, err := client.Get(ctx, seen.info.Name, metav1.GetOptions{})
	switch {
	case err == nil:
		seen.object = object
	case apierrors.IsNotFound(err):
		seen.state, seen.message = health.NotFound, "it does not exist"
		if finished(seen.info) {
			seen.state = health.Current
		}
	case ctx.Err() == nil:
		seen.state, seen.message = "Unknown", "it cannot be read: "+err.Error()
	}
}

func (w *waiter) evaluate(seen *sight, jobs bool) {
	switch {
	case seen.object == nil:
	case !jobs && isJob(seen.gvk()) && begun(seen.object):
		seen.state, seen.message = health.Current, ""
	default:
		seen.state, seen.message = health.Evaluate(seen.object, w.action.health)
	}
}

func (w *waiter) evaluateHook(seen *sight) {
	switch {
	case seen.object == nil:
	case w.action.health.Judges(refOf(seen.info)):
		seen.state, seen.message = health.Evaluate(seen.object, w.action.health)
	case isJob(seen.gvk()):
		seen.state, seen.message = health.Evaluate(seen.object, nil)
	case isPod(seen.gvk()):
		phase, _, _ := unstructured.NestedString(seen.object.Object, "status", "phase")
		seen.state = map[string]string{"Succeeded": health.Current, "Failed": health.Failed}[phase]
		if seen.state == "" {
			seen.state = health.InProgress
		}
		seen.message = "its phase is " + phase
	}
}

// begun reports whether a Job has begun and not failed.
func begun(object *unstructured.Unstructured) bool {
	state, _ := health.Evaluate(object, nil)
	_, has, _ := unstructured.NestedString(object.Object, "status", "startTime")
	return has && state == health.InProgress
}

// finished reports whether an object that is not there is a Job that goes by itself when it has completed.
func finished(info *resource.Info) bool {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(info.Object)
	_, has, _ := unstructured.NestedFieldNoCopy(content, "spec", "ttlSecondsAfterFinished")
	return err == nil && has && isJob(info.Mapping.GroupVersionKind)
}
