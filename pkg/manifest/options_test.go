package manifest_test

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/manifest"
)

func mustNewWith(t *testing.T, options manifest.Options, doc string) (manifest.Entry, string) {
	t.Helper()
	m, blobs, err := manifest.New(documents(doc), options)
	if err != nil {
		t.Fatal(err)
	}
	return m.Entries[0], string(blobs[m.Entries[0].Digest])
}

func TestAnObjectWithVariablesIsKeptAsItWasPrintedOnlyForAnAppWithPostBuild(t *testing.T) {
	t.Parallel()
	const (
		head      = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n"
		canonical = `{"apiVersion":"v1"`
	)
	for name, tc := range map[string]struct {
		doc     string
		options manifest.Options
		text    bool
	}{
		"a variable":              {head + "data: {home: \"${HOME}\"}\n", manifest.Options{Substitute: true}, true},
		"no post build":           {head + "data: {home: \"${HOME}\"}\n", manifest.Options{}, false},
		"no variable":             {head + "data: {home: x}\n", manifest.Options{Substitute: true}, false},
		"disabled, annotation":    {head + "  annotations: {kustomize.toolkit.fluxcd.io/substitute: disabled}\ndata: {a: \"$A\"}\n", manifest.Options{Substitute: true}, false},
		"disabled, label":         {head + "  labels: {kustomize.toolkit.fluxcd.io/substitute: disabled}\ndata: {a: \"$A\"}\n", manifest.Options{Substitute: true}, false},
		"disabled in other case":  {head + "  labels: {kustomize.toolkit.fluxcd.io/substitute: Disabled}\ndata: {a: \"$A\"}\n", manifest.Options{Substitute: true}, true},
		"in the name of the name": {"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: ${NAME/a/\"b\"}\n", manifest.Options{Substitute: true}, true},
	} {
		entry, blob := mustNewWith(t, tc.options, tc.doc)
		if entry.Substitute != tc.text || entry.IsText() != tc.text || tc.text && blob != tc.doc || !tc.text && !strings.HasPrefix(blob, canonical) {
			t.Errorf("%s: substitute %v, blob %q", name, entry.Substitute, blob)
		}
		if entry.Digest != fleet.DigestOf([]byte(blob)) || entry.Size != len(blob) {
			t.Errorf("%s: digest and size are not the blob's", name)
		}
	}
}

func TestAnEncryptedObjectIsKeptAsItIsForAnAppWithDecryptionAndRefusedWithout(t *testing.T) {
	t.Parallel()
	const doc = "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nsops: {mac: \"ENC[x]\"}\n"
	entry, blob := mustNewWith(t, manifest.Options{Decrypt: true}, doc)
	if !entry.Encrypted || entry.Substitute || blob != doc {
		t.Errorf("encrypted %v, substitute %v, blob %q", entry.Encrypted, entry.Substitute, blob)
	}
	if entry, _ := mustNewWith(t, manifest.Options{Decrypt: true, Substitute: true}, doc); !entry.Encrypted || !entry.Substitute {
		t.Errorf("encrypted %v, substitute %v: what is encrypted may have variables", entry.Encrypted, entry.Substitute)
	}
	if _, _, err := manifest.New(documents(doc), manifest.Options{Substitute: true}); !errors.Is(err, fleet.ErrInvalid) || !strings.Contains(err.Error(), "Secret/a: it is encrypted with SOPS") {
		t.Errorf("error %v, want a refusal that names the Secret", err)
	}
}

func TestASecretWithEncryptedValuesIsKeptAsItIsForAnAppWithDecryption(t *testing.T) {
	t.Parallel()
	value := base64.StdEncoding.EncodeToString([]byte("a: ENC[x]\nsops:\n  mac: ENC[x]\n"))
	doc := "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ndata: {config.yaml: " + value + "}\n"
	if entry, blob := mustNewWith(t, manifest.Options{Decrypt: true}, doc); !entry.Encrypted || blob != doc {
		t.Errorf("encrypted %v, blob %q", entry.Encrypted, blob)
	}
	// As with Flux, somebody in the cluster may decrypt them by himself.
	if entry, _ := mustNewWith(t, manifest.Options{}, doc); entry.Encrypted {
		t.Error("encrypted, for an App without decryption")
	}
	disabled := strings.Replace(doc, "name: a", "name: a, annotations: {kustomize.toolkit.fluxcd.io/decrypt: disabled}", 1)
	if entry, _ := mustNewWith(t, manifest.Options{Decrypt: true}, disabled); entry.Encrypted {
		t.Error("encrypted, though its annotation says to leave it")
	}
}

func TestCommonMetadataTakesThePlaceOfWhatAnObjectSaysAndDecidesItsMode(t *testing.T) {
	t.Parallel()
	common := &fleet.CommonMetadata{
		Labels:      map[string]string{"team": "a"},
		Annotations: map[string]string{manifest.AnnotationPrune: "disabled"},
	}
	entry, blob := mustNewWith(t, manifest.Options{CommonMetadata: common},
		`{apiVersion: v1, kind: ConfigMap, metadata: {name: a, labels: {team: b, tier: c}}}`)
	const want = `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"annotations":{"kustomize.toolkit.fluxcd.io/prune":"disabled"},` +
		`"labels":{"team":"a","tier":"c"},"name":"a"}}`
	if blob != want || !entry.PruneDisabled {
		t.Errorf("blob %s, prune disabled %v", blob, entry.PruneDisabled)
	}
	const text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a: \"${A}\"}\n"
	if _, blob := mustNewWith(t, manifest.Options{CommonMetadata: common, Substitute: true}, text); blob != text {
		t.Errorf("blob %q: what is still to be substituted must not have it yet", blob)
	}
	_, blob = mustNewWith(t, manifest.Options{CommonMetadata: &fleet.CommonMetadata{}}, `{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}`)
	if blob != `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}}` {
		t.Errorf("blob %s: empty common metadata changes nothing", blob)
	}
}

func TestANameWithVariablesMustStillBeThere(t *testing.T) {
	t.Parallel()
	for doc, want := range map[string]string{
		"apiVersion: v1\nkind: ${KIND}\nmetadata: {}\n":                    "metadata.name is missing",
		"kind: ConfigMap\nmetadata: {name: \"${A}\"}\n":                    "apiVersion is missing",
		"apiVersion: v1\nmetadata: {name: \"${A}\"}\n":                     "kind is missing",
		"apiVersion: v1\nkind: Pod\nmetadata: {name: \"${A:=\\u0007}\"}\n": "control characters",
	} {
		if _, _, err := manifest.New(documents(doc), manifest.Options{Substitute: true}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", doc, err, want)
		}
	}
}
