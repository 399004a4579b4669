package apply

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"flotilla.dev/flotilla/pkg/fleet"
)

// TestAnItemThatLeavesAKeyAtItsDefaultIsTheOneThatManagedFieldsName: the order in the cluster is another one.
func TestAnItemThatLeavesAKeyAtItsDefaultIsTheOneThatManagedFieldsName(t *testing.T) {
	t.Parallel()
	ignore, err := NewIgnore([]fleet.IgnoreRule{{Paths: []string{"/spec/ports/0/node"}}})
	if err != nil {
		t.Fatal(err)
	}
	marks := Marks{Manager: "us", NameLabel: "name", NamespaceLabel: "namespace"}
	ref := fleet.ObjectRef{Group: "example.com", Version: "v1", Kind: "Widget", Namespace: "n", Name: "x"}
	const keys = `"k:{\"port\":80,\"protocol\":\"TCP\"}"`
	managers := []metav1.ManagedFieldsEntry{
		{Manager: "us", Operation: metav1.ManagedFieldsOperationApply, FieldsV1: metav1.NewFieldsV1(`{"f:spec":{"f:ports":{` + keys + `:{".":{},"f:port":{}}}}}`)},
		{Manager: "someone", Operation: metav1.ManagedFieldsOperationUpdate, FieldsV1: metav1.NewFieldsV1(`{"f:spec":{"f:ports":{` + keys + `:{"f:node":{}}}}}`)},
	}
	live := map[string]any{"spec": map[string]any{"ports": []any{
		map[string]any{"port": int64(443), "protocol": "TCP", "node": int64(1)}, map[string]any{"port": int64(80), "protocol": "TCP", "node": int64(7)},
	}}}
	for name, item := range map[string]string{"said": `{"node":5,"port":80,"protocol":"TCP"}`, "left at its default": `{"node":5,"port":80}`} {
		object, err := marks.Prepare([]byte(`{"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"x","namespace":"n"},"spec":{"ports":[`+item+`]}}`),
			ref, Mapping{Namespaced: true}, Owner{Name: "app", Namespace: "n"})
		if err != nil {
			t.Fatal(err)
		}
		body, err := marks.reserve(object.Leaving(ignore), live, managers)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(body), "node") || !strings.Contains(string(body), `"port":80`) {
			t.Errorf("%s: what another one manages is sent: %s", name, body)
		}
	}
}
