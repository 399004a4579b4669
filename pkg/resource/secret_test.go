package resource_test

import (
	"encoding/json"
	"strings"
	"testing"

	"flotilla.dev/flotilla/pkg/resource"
)

// kubectl copies what it applied, a Secret's content included, into an annotation.
func TestWhatKubectlAppliedLastIsNotTakenIn(t *testing.T) {
	t.Parallel()
	o, err := resource.Decode([]byte(`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"git","namespace":"apps","annotations":{
		"kubectl.kubernetes.io/last-applied-configuration":"{\"stringData\":{\"password\":\"hunter2\"}}","team":"web"}},"data":{"password":"eA=="}}`))
	if err != nil {
		t.Fatal(err)
	}
	if out, _ := json.Marshal(o); strings.Contains(string(out), "hunter2") || o.Metadata.Annotations["team"] != "web" {
		t.Errorf("taken in: %s", out)
	}
}

func TestSecretWithoutTypeIsOpaque(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{"": "Opaque", `"type":"kubernetes.io/basic-auth",`: "kubernetes.io/basic-auth"} {
		o, err := resource.Decode([]byte(`{"apiVersion":"v1","kind":"Secret",` + given + `"metadata":{"name":"git","namespace":"apps"},"stringData":{"password":"x"}}`))
		if err != nil {
			t.Fatal(err)
		}
		if o.Type != want {
			t.Errorf("with %s: type %q, want %q", given, o.Type, want)
		}
	}
}
