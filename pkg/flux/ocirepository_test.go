package flux_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
)

func TestOCIRepositoryIsTakenAsFluxTakesIt(t *testing.T) {
	t.Parallel()
	digest := "sha256:" + strings.Repeat("0a", 32)
	for name, test := range map[string]struct {
		spec string // below url and interval
		want string // empty: it is taken
	}{
		"no more":                    {``, ""},
		"all of it":                  {`ref: {tag: v1.2.3_build.4, semver: ">=1.0.0-0 <2", semverFilter: ".*-rc.*", digest: "` + digest + `"}, layerSelector: {mediaType: a/b, operation: copy}, provider: gcp, secretRef: {name: a}, serviceAccountName: a.b, certSecretRef: {name: b}, proxySecretRef: {name: c}, insecure: true, ignore: "a", suspend: true, timeout: 90s`, ""},
		"a range":                    {`ref: {semver: newest}`, `spec.ref.semver: "newest" is not a range of versions`},
		"a filter":                   {`ref: {semverFilter: "("}`, `spec.ref.semverFilter: "(" is not a regular expression`},
		"half a digest":              {`ref: {digest: sha256:0a}`, `spec.ref.digest: "sha256:0a" is not sha256: and 64 hex digits`},
		"another hash":               {`ref: {digest: "sha512:` + strings.Repeat("0a", 64) + `"}`, "spec.ref.digest"},
		"a tag that is a path":       {`ref: {tag: ../../other/manifests/latest}`, `spec.ref.tag: "../../other/manifests/latest" is not a tag`},
		"a long tag":                 {`ref: {tag: ` + strings.Repeat("a", 129) + `}`, "spec.ref.tag"},
		"an operation":               {`layerSelector: {operation: move}`, `spec.layerSelector.operation: "move" is not extract or copy`},
		"a provider":                 {`provider: github`, `spec.provider: "github" is not generic, aws, azure or gcp`},
		"no name of a Secret":        {`secretRef: {name: ""}`, "spec.secretRef.name: is required"},
		"no name of certificates":    {`certSecretRef: {name: ""}`, "spec.certSecretRef.name: is required"},
		"no name of a proxy":         {`proxySecretRef: {name: ""}`, "spec.proxySecretRef.name: is required"},
		"another's ServiceAccount":   {`serviceAccountName: "kube-system:admin"`, "spec.serviceAccountName"},
		"hours":                      {`timeout: 1h`, "spec.timeout: may have the units ms, s and m, not h: write 60m"},
		"cosign with keys":           {`verify: {provider: cosign, secretRef: {name: a}}`, ""},
		"cosign keyless":             {`verify: {matchOIDCIdentity: [{issuer: "^https://a$", subject: "^b$"}], trustedRootSecretRef: {name: a}}`, ""},
		"notation":                   {`verify: {provider: notation, secretRef: {name: a}}`, ""},
		"another signature":          {`verify: {provider: gpg}`, `spec.verify.provider: "gpg" is not cosign or notation`},
		"notation without":           {`verify: {provider: notation}`, "spec.verify.secretRef: is required: notation needs trustpolicy.json"},
		"an identity without issuer": {`verify: {matchOIDCIdentity: [{subject: a}]}`, "spec.verify.matchOIDCIdentity[0].issuer: is required"},
		"a pattern of a subject":     {`verify: {matchOIDCIdentity: [{issuer: a, subject: "["}]}`, `spec.verify.matchOIDCIdentity[0].subject: "[" is not a regular expression`},
		"a key with an identity":     {`verify: {secretRef: {name: a}, matchOIDCIdentity: [{issuer: a, subject: a}]}`, "spec.verify.matchOIDCIdentity: keyless signatures have it"},
		"a key with a root":          {`verify: {secretRef: {name: a}, trustedRootSecretRef: {name: a}}`, "spec.verify.trustedRootSecretRef"},
	} {
		data := toJSON(t, "{url: 'oci://registry.example.com/apps/podinfo', interval: 1h, "+test.spec+"}")
		var spec flux.OCIRepository
		if err := json.Unmarshal(data, &spec); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		err := spec.Validate()
		if test.want == "" && err != nil || test.want != "" && (!errors.Is(err, fleet.ErrInvalid) || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: error %v does not say %q", name, err, test.want)
		}
	}
}

func TestTheAddressOfAnOCIRepositoryNamesARepositoryAlone(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"oci://registry.example.com/apps/podinfo":      "",
		"oci://registry.example.com:5000/podinfo":      "",
		"https://registry.example.com/podinfo":         `"https://registry.example.com/podinfo" is not oci://host/path`,
		"https://anna:canary@registry.example.com/a":   "is not oci://host/path",
		"https://registry.example.com/a?token=canary":  "is not oci://host/path",
		"oci://registry.example.com":                   "names no host or no path",
		"oci:///podinfo":                               "names no host or no path",
		"oci://registry.example.com/podinfo:v1":        "has a tag: what to pull is spec.ref's to say, for example tag: v1",
		"oci://registry.example.com/podinfo@sha256:00": "has a query, fragment or digest",
		"oci://registry.example.com/podinfo?a=canary":  "has a query, fragment or digest",
		"oci://anna:canary@registry.example.com/a":     "holds credentials",
		"oci://registry.example.com/%zz":               "is not a URL",
		"oci://registry.example.com/../../etc":         "is not the name of a repository",
		"oci://registry.example.com/Apps":              "is not the name of a repository",
		"oci://registry.example.com/a//b":              "is not the name of a repository",
	} {
		got := flux.OCIURLProblem(address)
		if (want == "") != (got == "") || !strings.Contains(got, want) || strings.Contains(got, "canary") {
			t.Errorf("%s: %q, want %q", address, got, want)
		}
	}
}

func toJSON(t *testing.T, text string) []byte {
	t.Helper()
	data, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return data
}
