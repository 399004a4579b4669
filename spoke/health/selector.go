package health

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Selector returns the label selector of a workload's Pods; empty: the object has none.
func Selector(ref fleet.ObjectRef, object *unstructured.Unstructured) string {
	return podSelector(ref, object)
}
