package deploy_test

import (
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// versioned is the definition of Gadgets in these versions; the last one is stored.
func (b *bundle) versioned(versions ...string) string {
	b.Helper()
	definition := b.unstructured(fmt.Sprintf(widgetDefinition, "gadget", b.group(), "Gadget"))
	spec := definition.Object["spec"].(map[string]any)
	one := spec["versions"].([]any)[0].(map[string]any)
	var all []any
	for i, version := range versions {
		all = append(all, map[string]any{"name": version, "served": true, "storage": i == len(versions)-1, "schema": one["schema"]})
	}
	spec["versions"] = all
	data, err := definition.MarshalJSON()
	if err != nil {
		b.Fatal(err)
	}
	return string(data)
}

// gadgetOf is a Gadget in a version.
func (b *bundle) gadgetOf(version, spec string) string {
	return fmt.Sprintf(`{"apiVersion":"%s/%s","kind":"Gadget","metadata":{"name":"it","namespace":%q},"spec":%s}`, b.group(), version, b.namespace, spec)
}

// A kind's versions are changed one release at a time, as Kubernetes asks for. At each the object is as it should be, and
// stays so.
func TestAVersionAddedAndAnotherRemovedLeaveTheObjectsCorrected(t *testing.T) {
	b := newBundle(t).start()
	for size, release := range [][]string{
		{b.versioned("v1beta1"), b.gadgetOf("v1beta1", `{"size":0,"colour":"red"}`)},
		{b.versioned("v1beta1", "v1"), b.gadgetOf("v1", `{"size":1}`)},
		{b.versioned("v1"), b.gadgetOf("v1", `{"size":2}`)},
	} {
		if size == 2 {
			b.storedIn("v1")
		}
		b.eventually("the release is deployed", func() error { return b.try(b.target(release...)) })
		resource := b.gadgets()
		if size == 0 {
			resource.Version = "v1beta1"
		} else {
			b.value(resource, "it", nil, "spec", "colour")
		}
		b.patch(resource, "it", "someone", `{"spec":{"size":7}}`)
		b.value(resource, "it", size, "spec", "size")
	}
	fields := b.get(b.gadgets(), "it").GetManagedFields()
	if len(fields) != 1 || fields[0].APIVersion != b.group()+"/v1" {
		t.Errorf("managedFields are %v", fields)
	}
}

// storedIn says that all Gadgets are stored in a version, without which no other can be removed.
func (b *bundle) storedIn(version string) {
	b.Helper()
	_, err := b.client.Resource(crds).Patch(b.Context(), "gadgets."+b.group(), types.MergePatchType,
		[]byte(`{"status":{"storedVersions":["`+version+`"]}}`), metav1.PatchOptions{FieldManager: "someone"}, "status")
	if err != nil {
		b.Fatal(err)
	}
}

// A release may move an object to a new version and take the old one from its kind at once, though managedFields, ours
// and others', still name it.
func TestAVersionRemovedWithTheReleaseThatLeavesItHoldsNothingUp(t *testing.T) {
	b := newBundle(t).start()
	old := b.gadgets()
	old.Version = "v1beta1"
	b.eventually("the release is deployed", func() error {
		return b.try(b.target(b.versioned("v1beta1", "v1"), b.gadgetOf("v1beta1", `{"size":1}`)))
	})
	b.patch(old, "it", "someone", `{"spec":{"colour":"red"}}`)
	b.storedIn("v1")
	b.kill() // or it would put the version back
	if _, err := b.client.Resource(crds).Patch(b.Context(), "gadgets."+b.group(), types.MergePatchType,
		[]byte(b.versioned("v1")), metav1.PatchOptions{FieldManager: "someone"}); err != nil {
		t.Fatal(err)
	}
	b.start()
	b.eventually("a diff says that it is for the next pass", func() error {
		_, got := b.diff(b.target(b.versioned("v1"), b.gadgetOf("v1", `{"size":2}`)), false)
		if text := got["Gadget/it"].Error; !strings.Contains(text, "the next pass moves its managedFields to "+b.group()+"/v1") {
			return fmt.Errorf("it says %+v", got["Gadget/it"])
		}
		return nil
	})
	b.eventually("the next one is", func() error { return b.try(b.target(b.versioned("v1"), b.gadgetOf("v1", `{"size":2}`))) })
	b.value(b.gadgets(), "it", 2, "spec", "size")
	b.value(b.gadgets(), "it", "red", "spec", "colour")
	for _, entry := range b.get(b.gadgets(), "it").GetManagedFields() {
		if entry.APIVersion != b.group()+"/v1" {
			t.Errorf("%s manages fields of %s", entry.Manager, entry.APIVersion)
		}
	}
	b.patch(b.gadgets(), "it", "someone", `{"spec":{"size":7}}`)
	b.value(b.gadgets(), "it", 2, "spec", "size")
	if conflicts := b.status().Conflicts; len(conflicts) > 0 {
		t.Errorf("conflicts: %v", conflicts)
	}
}
