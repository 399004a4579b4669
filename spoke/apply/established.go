package apply

import (
	"context"
	"fmt"
	"time"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"

	"flotilla.dev/flotilla/pkg/run"
)

// Established waits, on a watch, until the CustomResourceDefinition of that name is established and its names are
// accepted, and returns it.
func Established(ctx context.Context, client dynamic.Interface, name string) (*apiextensions.CustomResourceDefinition, error) {
	reason := "it has no status yet"
	for {
		// A watch that names no resourceVersion begins with the object as it is.
		w, err := client.Resource(CRDs).Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + name})
		if err != nil {
			return nil, fmt.Errorf("CustomResourceDefinition/%s: not established: %s: %w", name, reason, err)
		}
		crd := awaitEstablished(w, &reason)
		w.Stop()
		if crd != nil {
			return crd, nil
		}
		// The watch ended by itself.
		if err := run.Sleep(ctx, 100*time.Millisecond); err != nil {
			return nil, fmt.Errorf("CustomResourceDefinition/%s: not established: %s: %w", name, reason, err)
		}
	}
}

func awaitEstablished(w watch.Interface, reason *string) *apiextensions.CustomResourceDefinition {
	for event := range w.ResultChan() {
		object, isObject := event.Object.(*unstructured.Unstructured)
		if !isObject {
			return nil
		}
		var crd apiextensions.CustomResourceDefinition
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &crd); err != nil {
			*reason = err.Error()
			continue
		}
		established, accepted := false, false
		for _, condition := range crd.Status.Conditions {
			isTrue := condition.Status == apiextensions.ConditionTrue
			switch condition.Type {
			case apiextensions.Established:
				established = isTrue
			case apiextensions.NamesAccepted:
				accepted = isTrue
			}
			if !isTrue && condition.Message != "" {
				*reason = condition.Message
			}
		}
		if established && accepted {
			return &crd
		}
	}
	return nil
}
