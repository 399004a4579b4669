package apply

import (
	"encoding/json"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func entry(manager string, operation metav1.ManagedFieldsOperationType, subresource, fields string) metav1.ManagedFieldsEntry {
	return metav1.ManagedFieldsEntry{
		Manager: manager, Operation: operation, Subresource: subresource, FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(fields),
	}
}

func TestTakesOverWhatFluxTakesOver(t *testing.T) {
	t.Parallel()
	const apply, update = metav1.ManagedFieldsOperationApply, metav1.ManagedFieldsOperationUpdate
	for _, test := range []struct {
		manager     string
		operation   metav1.ManagedFieldsOperationType
		subresource string
		want        bool
	}{
		{"kubectl", apply, "", true},
		{"kubectl-edit", update, "", true},
		{"kubectl-client-side-apply", update, "", true},
		{"before-first-apply", update, "", true},
		{"kustomize-controller", update, "", true},
		{"kustomize-controller", apply, "", false},
		{"kubectl", update, "scale", false},
		{"kubectl-edit", update, "status", false},
		{"flux-client-side-apply", update, "", false},
		{"helm", update, "", false},
		{"kube-controller-manager", update, "", false},
		{"before-first-apply", apply, "", false},
	} {
		if got := Kustomize.TakesOver(entry(test.manager, test.operation, test.subresource, "{}")); got != test.want {
			t.Errorf("%s by %s on %q: %t", test.manager, test.operation, test.subresource, got)
		}
	}
}

func TestTakeoverUnitesFieldsAndKeepsTheOthers(t *testing.T) {
	t.Parallel()
	live := &metav1.PartialObjectMetadata{}
	live.ResourceVersion = "7"
	live.Annotations = map[string]string{"kubectl.kubernetes.io/last-applied-configuration": "{}"}
	live.ManagedFields = []metav1.ManagedFieldsEntry{
		entry("helm", metav1.ManagedFieldsOperationUpdate, "", `{"f:data":{"f:h":{}}}`),
		entry("kubectl-edit", metav1.ManagedFieldsOperationUpdate, "", `{"f:data":{"f:b":{}}}`),
		entry("kustomize-controller", metav1.ManagedFieldsOperationApply, "", `{"f:data":{"f:a":{}}}`),
		entry("kubectl", metav1.ManagedFieldsOperationApply, "", `{"f:data":{"f:c":{}}}`),
	}
	if !Kustomize.Disowned(live) {
		t.Fatal("nothing is taken over")
	}
	patch, err := Kustomize.takeover(live)
	if err != nil {
		t.Fatal(err)
	}
	var steps []struct {
		Op, Path string
		Value    json.RawMessage
	}
	if err := json.Unmarshal(patch, &steps); err != nil {
		t.Fatal(err)
	}
	if len(steps) != 3 || string(steps[0].Value) != `"7"` || steps[1].Path != "/metadata/managedFields" ||
		steps[2].Op != "remove" || steps[2].Path != "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration" {
		t.Fatalf("the patch is %s", patch)
	}
	var fields []metav1.ManagedFieldsEntry
	if err := json.Unmarshal(steps[1].Value, &fields); err != nil {
		t.Fatal(err)
	}
	if len(fields) != 2 || fields[0].Manager != "helm" || fields[1].Manager != "kustomize-controller" {
		t.Fatalf("the fields are %s", steps[1].Value)
	}
	if got := fields[1].FieldsV1.GetRawString(); got != `{"f:data":{"f:a":{},"f:b":{},"f:c":{}}}` {
		t.Errorf("ours are %s", got)
	}
}

func TestAHoldIsLeftToWhoeverSetIt(t *testing.T) {
	t.Parallel()
	const apply, update = metav1.ManagedFieldsOperationApply, metav1.ManagedFieldsOperationUpdate
	const hold = `"f:fleet.flotilla.dev/hold":{}`
	for _, test := range []struct{ name, fields, taken, left string }{
		{"alone", `{"f:metadata":{"f:annotations":{` + hold + `}}}`, "", `{"f:metadata":{"f:annotations":{` + hold + `}}}`},
		{"alone, in a new map", `{"f:metadata":{"f:annotations":{".":{},` + hold + `}}}`, "", `{"f:metadata":{"f:annotations":{".":{},` + hold + `}}}`},
		{"no more", `{"f:metadata":{"f:annotations":{".":{}}}}`, "", `{"f:metadata":{"f:annotations":{".":{}}}}`},
		{
			"beside others", `{"f:data":{"f:a":{}},"f:metadata":{"f:annotations":{".":{},` + hold + `,"f:other":{}}}}`,
			`{"f:data":{"f:a":{}},"f:metadata":{"f:annotations":{"f:other":{}}}}`, `{"f:metadata":{"f:annotations":{".":{},` + hold + `}}}`,
		},
		{"never", `{"f:metadata":{"f:annotations":{".":{},"f:other":{}}}}`, `{"f:metadata":{"f:annotations":{".":{},"f:other":{}}}}`, ""},
	} {
		for manager, operation := range map[string]metav1.ManagedFieldsOperationType{
			"kubectl-annotate": update, "kubectl": apply, "before-first-apply": update, "kustomize-controller": update,
		} {
			t.Run(test.name+" of "+manager, func(t *testing.T) {
				t.Parallel()
				live := &metav1.PartialObjectMetadata{}
				live.ManagedFields = []metav1.ManagedFieldsEntry{
					entry(manager, operation, "", test.fields), entry("kustomize-controller", apply, "", `{"f:data":{"f:b":{}}}`),
				}
				if Kustomize.Disowned(live) != (test.taken != "") {
					t.Errorf("taken over: %t", Kustomize.Disowned(live))
				}
				taken, left, err := Kustomize.part(live.ManagedFields[0])
				if err != nil {
					t.Fatal(err)
				}
				for _, got := range []struct {
					what, want string
					entry      *metav1.ManagedFieldsEntry
				}{{"taken", test.taken, taken}, {"left", test.left, left}} {
					switch {
					case got.entry == nil && got.want == "":
					case got.entry == nil, got.entry.FieldsV1.GetRawString() != got.want, got.entry.Manager != manager, got.entry.Operation != operation:
						t.Errorf("%s is %v, not %s", got.what, got.entry, got.want)
					}
				}
			})
		}
	}
}
