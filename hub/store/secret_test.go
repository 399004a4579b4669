package store_test

import (
	"errors"
	"strings"
	"testing"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
)

const secretYAML = `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"git","namespace":"apps"},"type":"kubernetes.io/basic-auth"`

// A Secret is shown without its content, and what is shown can be applied again.
func TestSecretAppliedWithoutContentKeepsIt(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.apply(secretYAML + `,"stringData":{"username":"u","password":"hunter2"}}`)
	for i, step := range []struct {
		text string
		want resource.Change
	}{
		{secretYAML + `}`, resource.Unchanged},
		{strings.Replace(secretYAML, `"namespace"`, `"labels":{"team":"web"},"namespace"`, 1) + `}`, resource.Configured},
		{strings.Replace(secretYAML, `kubernetes.io/basic-auth`, `Opaque`, 1) + `}`, resource.Configured},
	} {
		if change, _ := b.apply(step.text); change != step.want {
			t.Errorf("step %d: %s, want %s", i, change, step.want)
		}
		data, err := b.SecretData(t.Context(), "apps", "git")
		if err != nil || string(data["password"]) != "hunter2" {
			t.Errorf("step %d: data %v, error %v", i, data, err)
		}
	}
}

func TestNewSecretWithoutContentIsRefused(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	_, _, _, err := b.ApplyObject(t.Context(), admin, object(t, secretYAML+`}`), fleet.Order{})
	if !errors.Is(err, fleet.ErrInvalid) || !strings.Contains(err.Error(), "Secret/apps/git: data: is required") || !strings.Contains(err.Error(), "stringData") {
		t.Errorf("error %v", err)
	}
}

func TestTypeOfASecretIsShown(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.apply(secretYAML + `,"stringData":{"password":"x"}}`)
	found, _, err := b.Objects(t.Context(), resource.Query{Kind: "Secret"})
	if err != nil || len(found) != 1 || found[0].Type != "kubernetes.io/basic-auth" || found[0].Spec != nil || found[0].Data != nil {
		t.Errorf("found %+v, error %v", found, err)
	}
}
