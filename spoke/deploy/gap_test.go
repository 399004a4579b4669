package deploy_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestADefinitionChangedWhileTheEngineWasDownHasItsObjectsLookedAt(t *testing.T) {
	b := newBundle(t)
	definition := fmt.Sprintf(widgetDefinition, "gadget", b.group(), "Gadget")
	if err := b.create(crds, definition); err != nil {
		t.Fatal(err)
	}
	b.start()
	target := b.target(b.gadget("g", 1))
	b.eventually("the kind is served", func() error { return b.try(target) })
	b.kill()
	name := "gadgets." + b.group()
	live, err := b.client.Resource(crds).Get(b.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	changed := b.unstructured(strings.Replace(definition, `"colour"`, `"shape":{"type":"string"},"colour"`, 1))
	live.Object["spec"] = changed.Object["spec"]
	if _, err := b.client.Resource(crds).Update(b.Context(), live, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	verified := func() int {
		requests, err := b.cluster.Requests(b.Context())
		if err != nil {
			t.Fatal(err)
		}
		return len(requests.Where(func(r labRequest) bool {
			return r.UserAgent == b.agent && r.Resource == "gadgets" && r.Verb == "patch" && !r.DryRun
		}))
	}
	before := verified()
	b.start()
	b.load(target)
	b.eventually("it is looked at", func() error {
		if verified() == before {
			return errors.New("it is not")
		}
		return nil
	})
}

func TestAFinalizerTakenAwayAndHiddenByRestoredManagedFieldsIsFoundAfterAGap(t *testing.T) {
	b := newBundle(t).start()
	const finalizers = `"metadata":{"finalizers":["example.com/keep"],`
	target := b.deploy(strings.Replace(b.deployment("web", ""), `"metadata":{`, finalizers, 1))
	b.kill()
	// Written by its controller, once; what is written below would take it away, and move the generation.
	b.value(deployments, "web", "1", "metadata", "annotations", "deployment.kubernetes.io/revision")
	before := b.get(deployments, "web")
	after := b.patch(deployments, "web", "someone", `{"metadata":{"finalizers":null}}`)
	after.SetManagedFields(before.GetManagedFields())
	after.SetResourceVersion("")
	after, err := b.client.Resource(deployments).Namespace(b.namespace).Update(b.Context(), after, metav1.UpdateOptions{FieldManager: "someone"})
	if err != nil || after.GetGeneration() != before.GetGeneration() || len(after.GetFinalizers()) != 0 {
		t.Fatalf("the generation moved, or the finalizers stayed: %v (%v)", after, err)
	}
	b.start()
	b.load(target)
	b.value(deployments, "web", []any{"example.com/keep"}, "metadata", "finalizers")
	b.kill()
	b.patch(deployments, "web", "someone", `{"metadata":{"finalizers":null}}`) // so that the namespace can go
}
