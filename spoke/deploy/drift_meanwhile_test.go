package deploy_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"flotilla.dev/flotilla/spoke/apply"
)

// What others write, never what is ours, may come while the engine looks into what they wrote before. Nothing is put back
// then, and nobody is told that something was.
func TestWhatOthersWriteDuringALookIsNoCorrection(t *testing.T) {
	annotation := []string{"metadata", "annotations", "x"}
	for _, test := range []struct {
		name, kind  string
		patch       string // of a value
		subresource string
		path        []string
		later       bool // and not in the second of our last apply, which our entry names
	}{
		{name: "scaled", kind: "Deployment", patch: `{"spec":{"replicas":%s}}`, subresource: "scale", path: []string{"spec", "replicas"}},
		{name: "scaled later", kind: "Deployment", patch: `{"spec":{"replicas":%s}}`, subresource: "scale", path: []string{"spec", "replicas"}, later: true},
		{name: "a field", kind: "Deployment", patch: `{"spec":{"minReadySeconds":%s}}`, path: []string{"spec", "minReadySeconds"}, later: true},
		{name: "an annotation", kind: "ConfigMap", patch: `{"metadata":{"annotations":{"x":"%s"}}}`, path: annotation, later: true},
		{name: "an annotation", kind: "Service", patch: `{"metadata":{"annotations":{"x":"%s"}}}`, path: annotation, later: true},
	} {
		t.Run(test.kind+"/"+test.name, func(t *testing.T) {
			b := newBundle(t)
			g := b.gated("it")
			b.start()
			k := b.driftKind(test.kind)
			b.deploy(k.object)
			b.judged()
			if test.later {
				b.eventually("a second is over", func() error {
					ours := apply.Kustomize.Entry(b.get(k.resource, "it").GetManagedFields())
					if ours.Time.Unix() == time.Now().Unix() {
						return errors.New("it is the same")
					}
					return nil
				})
			}
			write := func(manager, value string) {
				t.Helper()
				var at []string
				if test.subresource != "" {
					at = append(at, test.subresource)
				}
				_, err := b.client.Resource(k.resource).Namespace(b.namespace).Patch(b.Context(), "it", types.MergePatchType,
					fmt.Appendf(nil, test.patch, value), metav1.PatchOptions{FieldManager: manager}, at...)
				if err != nil {
					t.Fatal(err)
				}
			}
			g.shut()
			write("someone", "2")
			b.holds(g, 1)
			write("another", "3")
			g.open()
			b.stays(k, b.get(k.resource, "it"), "3", test.path...)
			if events := b.eventsOf("DriftCorrected"); len(events) > 0 {
				t.Errorf("events are %v", events)
			}
		})
	}
}
