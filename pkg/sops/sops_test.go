package sops_test

import (
	"encoding/base64"
	"testing"

	"flotilla.dev/flotilla/pkg/sops"
)

func TestEncryptedDocumentsAreKnownByTheirMarks(t *testing.T) {
	t.Parallel()
	for document, want := range map[string]sops.Format{
		`{"data": "ENC[x]", "sops": {"mac": "ENC[x]"}}`: sops.JSON,
		"a: b\nsops:\n  mac: ENC[x]\n":                  sops.YAML,
		"A=b\nsops_mac=ENC[x]\n":                        sops.Dotenv,
		"[a]\nb = c\n[sops]\nmac = ENC[x]\n":            sops.INI,
		"a: b\nmac: something\n":                        "",
		"":                                              "",
	} {
		got, encrypted := sops.Detect([]byte(document))
		if got != want || encrypted != (want != "") || encrypted && !want.Marked([]byte(document)) {
			t.Errorf("%q: %q, %v; want %q", document, got, encrypted, want)
		}
	}
}

func TestFormatFollowsTheName(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]sops.Format{
		"a.yaml": sops.YAML, "a.yml": sops.YAML, "a.json": sops.JSON, ".dockerconfigjson": sops.JSON, "prod.env": sops.Dotenv,
		"a.ini": sops.INI, "tls.key": sops.Binary, "env": sops.Binary,
	} {
		if got := sops.FormatOf(name); got != want {
			t.Errorf("%s: %s; want %s", name, got, want)
		}
	}
}

func TestValuesAreThoseOfASecretsData(t *testing.T) {
	t.Parallel()
	encrypted := base64.StdEncoding.EncodeToString([]byte("sops:\n  mac: ENC[x]\n"))
	data := map[string]any{"a": encrypted, "b": "YQ==", "c": "%%", "d": 1}
	got := sops.Values(map[string]any{"kind": "Secret", "data": data, "stringData": map[string]any{"e": "mac: ENC[x]"}})
	if len(got) != 1 || string(got["a"]) != "sops:\n  mac: ENC[x]\n" {
		t.Errorf("%q", got)
	}
	if got := sops.Values(map[string]any{"kind": "ConfigMap", "data": data}); got != nil {
		t.Errorf("%q", got)
	}
}
