package apply_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/apply"
)

var owner = apply.Owner{Name: "app", Namespace: "apps"}

func TestPrepare(t *testing.T) {
	t.Parallel()
	const labels = `{"kustomize.toolkit.fluxcd.io/name":"app","kustomize.toolkit.fluxcd.io/namespace":"apps"}`
	namespaced := apply.Mapping{Namespaced: true}
	for _, test := range []struct {
		name    string
		kind    string
		mapping apply.Mapping
		content string
		want    string
	}{
		{
			name: "owner labels are added, the rest stays byte for byte", kind: "Widget", mapping: namespaced,
			content: `{"kind":"Widget","metadata":{"name":"x","namespace":"n"},"spec":{"n":12345678901234567890,"f":1.10,"s":"<&>"}}`,
			want:    `{"kind":"Widget","metadata":{"labels":` + labels + `,"name":"x","namespace":"n"},"spec":{"n":12345678901234567890,"f":1.10,"s":"<&>"}}`,
		},
		{
			name: "what only the API server sets goes, and the status", kind: "Widget", mapping: namespaced,
			content: `{"kind":"Widget","metadata":{"name":"x","namespace":"n","uid":"1","resourceVersion":"2","generation":3,"creationTimestamp":null,"managedFields":[]},"status":{}}`,
			want:    `{"kind":"Widget","metadata":{"labels":` + labels + `,"name":"x","namespace":"n"}}`,
		},
		{
			name: "what kubectl apply left goes", kind: "Widget", mapping: namespaced,
			content: `{"kind":"Widget","metadata":{"name":"x","namespace":"n","annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{}"}}}`,
			want:    `{"kind":"Widget","metadata":{"labels":` + labels + `,"name":"x","namespace":"n"}}`,
		},
		{
			name: "a namespaced object without namespace goes to default", kind: "Widget", mapping: namespaced,
			content: `{"kind":"Widget","metadata":{"name":"x"}}`,
			want:    `{"kind":"Widget","metadata":{"labels":` + labels + `,"name":"x","namespace":"default"}}`,
		},
		{
			name: "a cluster-scoped object has no namespace", kind: "Widget",
			content: `{"kind":"Widget","metadata":{"name":"x","namespace":"n"}}`,
			want:    `{"kind":"Widget","metadata":{"labels":` + labels + `,"name":"x"}}`,
		},
		{
			name: "a Secret's stringData becomes data and wins over it", kind: "Secret", mapping: namespaced,
			content: `{"kind":"Secret","metadata":{"name":"x","namespace":"n"},"data":{"a":"eA==","b":"eA=="},"stringData":{"b":"y"}}`,
			want:    `{"data":{"a":"eA==","b":"eQ=="},"kind":"Secret","metadata":{"labels":` + labels + `,"name":"x","namespace":"n"}}`,
		},
		{
			name: "a Secret's empty stringData goes", kind: "Secret", mapping: namespaced,
			content: `{"kind":"Secret","metadata":{"name":"x","namespace":"n"},"stringData":null}`,
			want:    `{"kind":"Secret","metadata":{"labels":` + labels + `,"name":"x","namespace":"n"}}`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			var meta struct {
				Metadata struct{ Name, Namespace string }
			}
			if err := json.Unmarshal([]byte(test.content), &meta); err != nil {
				t.Fatal(err)
			}
			ref := fleet.ObjectRef{Version: "v1", Kind: test.kind, Namespace: meta.Metadata.Namespace, Name: meta.Metadata.Name}
			object, err := apply.Kustomize.Prepare([]byte(test.content), ref, test.mapping, owner)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, string(object.Data())); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPrepareRefusesWhatIsNoObject(t *testing.T) {
	t.Parallel()
	ref := fleet.ObjectRef{Version: "v1", Kind: "Secret", Namespace: "n", Name: "x"}
	for _, content := range []string{`[]`, `{"metadata":[]}`, `{"metadata":{"name":"x"},"stringData":{"a":{"s3cr3t":1}}}`} {
		_, err := apply.Kustomize.Prepare([]byte(content), ref, apply.Mapping{Namespaced: true}, owner)
		if !errors.Is(err, fleet.ErrInvalid) {
			t.Errorf("%s: %v", content, err)
		}
	}
}
