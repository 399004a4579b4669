package helm_test

import (
	"bytes"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"helm.sh/helm/v4/pkg/provenance"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/flux"
)

func newKey(t *testing.T, name string) *openpgp.Entity {
	t.Helper()
	key, err := openpgp.NewEntity(name, "", name+"@example.com", nil)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// public is the key as gpg --export gives it, armoured or not.
func public(t *testing.T, armoured bool, keys ...*openpgp.Entity) []byte {
	t.Helper()
	var out bytes.Buffer
	for _, key := range keys {
		var raw bytes.Buffer
		if err := key.Serialize(&raw); err != nil {
			t.Fatal(err)
		}
		if !armoured {
			out.Write(raw.Bytes())
			continue
		}
		w, err := armor.Encode(&out, openpgp.PublicKeyType, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = w.Write(raw.Bytes())
		_ = w.Close()
		out.WriteByte('\n')
	}
	return out.Bytes()
}

// signed is the provenance of the chart, as helm package --sign makes it.
func signed(t *testing.T, key *openpgp.Entity, chart []byte, file string) []byte {
	t.Helper()
	text, err := (&provenance.Signatory{Entity: key}).ClearSign(chart, file, []byte("name: podinfo"))
	if err != nil {
		t.Fatal(err)
	}
	return []byte(text)
}

func TestProvenanceOfAChartOverHTTPIsVerified(t *testing.T) {
	t.Parallel()
	mine, other := newKey(t, "mine"), newKey(t, "other")
	chart, older := packed("podinfo", podinfo("1.0.0")), packed("podinfo", podinfo("0.9.0"))
	both := map[string][]byte{"keys.asc": public(t, true, other, mine)}
	const file = "podinfo-1.0.0.tgz"
	by := &flux.OCIVerify{Provider: flux.Cosign, SecretRef: &flux.SecretRef{Name: "keys"}}
	for name, test := range map[string]struct {
		verify *flux.OCIVerify
		keys   map[string][]byte
		chart  []byte
		file   string
		prov   []byte
		kind   source.Kind
		says   string
	}{
		"by an armoured key":  {by, map[string][]byte{"a.asc": public(t, true, mine)}, chart, file, signed(t, mine, chart, file), "", ""},
		"by a plain key":      {by, map[string][]byte{"a.gpg": public(t, false, mine), "note": []byte("x")}, chart, file, signed(t, mine, chart, file), "", ""},
		"by one of several":   {by, both, chart, file, signed(t, mine, chart, file), "", ""},
		"by another":          {by, map[string][]byte{"a.asc": public(t, true, mine)}, chart, file, signed(t, other, chart, file), source.KindSignature, "is not by one of the keys"},
		"of another chart":    {by, both, chart, file, signed(t, mine, older, file), source.KindSignature, "or of another chart"},
		"of another name":     {by, both, chart, file, signed(t, mine, chart, "x.tgz"), source.KindSignature, "or of another chart"},
		"an older one as new": {by, both, older, "podinfo-0.9.0.tgz", signed(t, mine, older, "podinfo-0.9.0.tgz"), source.KindSignature, "what is signed is podinfo-0.9.0.tgz, not podinfo-1.0.0.tgz"},
		"none":                {by, both, chart, file, nil, source.KindSignature, "chart podinfo 1.0.0 has no provenance file"},
		"garbage":             {by, both, chart, file, []byte("garbage"), source.KindSignature, "is not by one of the keys"},
		"large garbage":       {by, both, chart, file, make([]byte, 1<<20), source.KindLimit, "provenance of chart podinfo 1.0.0"},
		"no keys":             {by, map[string][]byte{"a.pub": []byte("x")}, chart, file, signed(t, mine, chart, file), source.KindSignature, "has no PGP public keys"},
		"a key that is none":  {by, map[string][]byte{"a.asc": []byte("x")}, chart, file, signed(t, mine, chart, file), source.KindSignature, `key "a.asc"`},
		"keyless":             {&flux.OCIVerify{Provider: flux.Cosign}, nil, chart, file, signed(t, mine, chart, file), source.KindInvalid, "spec.verify.secretRef: is required"},
		"notation":            {&flux.OCIVerify{Provider: flux.Notation, SecretRef: by.SecretRef}, both, chart, file, signed(t, mine, chart, file), source.KindInvalid, "notation"},
		"nobody asked for it": {nil, nil, chart, file, signed(t, other, chart, file), "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, s := newBundle(t), serve(t)
			s.ServeFile("/charts/index.yaml", []byte("apiVersion: v1\nentries:\n  podinfo:\n  - name: podinfo\n    version: 1.0.0\n    urls: ["+test.file+"]\n"))
			s.ServeFile("/charts/"+test.file, test.chart)
			if test.prov != nil {
				s.ServeFile("/charts/"+test.file+".prov", test.prov)
			}
			u := of(b.index(repository(s.spec(), nil)), flux.HelmChart{Chart: "podinfo", Verify: test.verify})
			u.Secrets["verify.secretRef"] = test.keys
			_, got, err := fetched(t.Context(), b.Charts(), u)
			switch {
			case test.kind != "":
				fails(t, name, err, test.kind, test.says)
			case err != nil:
				t.Fatal(err)
			case test.verify != nil && !bytes.Contains([]byte(got.Detail.Verified), []byte("mine")), test.verify == nil && got.Detail.Verified != "":
				t.Errorf("verified %q", got.Detail.Verified)
			}
		})
	}
}
