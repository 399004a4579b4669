package resource_test

import (
	"encoding/json"
	"strings"
	"testing"

	"flotilla.dev/flotilla/pkg/resource"
)

// Flux's client notes it on the Secret, whose annotations are not sealed.
func TestTheURLOfAWebhookIsNotTakenIn(t *testing.T) {
	t.Parallel()
	o, err := resource.Decode([]byte(`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"webhook","namespace":"apps","annotations":{
		"notification.toolkit.fluxcd.io/webhook":"https://hub.example.com/hook/0123","team":"web"}},"stringData":{"token":"x"}}`))
	if err != nil {
		t.Fatal(err)
	}
	if out, _ := json.Marshal(o); strings.Contains(string(out), "/hook/") || o.Metadata.Annotations["team"] != "web" {
		t.Errorf("taken in: %s", out)
	}
}

func TestReceiversAreFoundByTheirNames(t *testing.T) {
	t.Parallel()
	for _, word := range []string{"receiver", "receivers", "Receiver"} {
		if found := resource.FindKinds(word); len(found) != 1 || found[0].Name != "Receiver" || !found[0].Reconcilable() {
			t.Errorf("%s finds %+v", word, found)
		}
	}
}
