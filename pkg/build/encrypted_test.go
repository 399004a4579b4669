package build_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"flotilla.dev/flotilla/pkg/build"
	"flotilla.dev/flotilla/pkg/build/buildtest"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/sops"
)

// Files as SOPS writes them, as far as a build looks at them.
const (
	sopsYAML   = "password: ENC[AES256_GCM,data:eA==,type:str]\nsops:\n  lastmodified: \"2026-01-01T00:00:00Z\"\n  mac: ENC[AES256_GCM,data:eA==,type:str]\n"
	sopsJSON   = "{\n\t\"data\": \"ENC[AES256_GCM,data:eA==,type:str]\",\n\t\"sops\": {\n\t\t\"mac\": \"ENC[AES256_GCM,data:eA==,type:str]\"\n\t}\n}\n"
	sopsDotenv = "PASSWORD=ENC[AES256_GCM,data:eA==,type:str]\nsops_mac=ENC[AES256_GCM,data:eA==,type:str]\n"
	sopsINI    = "[db]\npassword = ENC[AES256_GCM,data:eA==,type:str]\n\n[sops]\nmac = ENC[AES256_GCM,data:eA==,type:str]\n"
)

// What is decrypted as what was read from kustomize-controller 1.9's DecryptSources.
func TestInputsThatFluxDecryptsBeforeItBuildsAreTold(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		files map[string]string
		spec  fleet.BuildSpec
		want  []build.Encrypted
	}{
		"files of a secret generator, in the format of the key": {
			files: map[string]string{
				"kustomization.yaml": "secretGenerator:\n- {name: a, files: [a.yaml, b.yml, c.json, d.env, e.ini, f, .dockerconfigjson, app.yaml=g.enc, h=h.json]}\n",
				"a.yaml":             sopsYAML, "b.yml": sopsYAML, "c.json": sopsJSON, "d.env": sopsDotenv, "e.ini": sopsINI, "f": sopsJSON,
				".dockerconfigjson": sopsJSON, "g.enc": sopsYAML, "h.json": sopsJSON,
			},
			want: []build.Encrypted{
				{".dockerconfigjson", sops.JSON}, {"a.yaml", sops.YAML}, {"b.yml", sops.YAML}, {"c.json", sops.JSON}, {"d.env", sops.Dotenv},
				{"e.ini", sops.INI}, {"f", sops.Binary}, {"g.enc", sops.YAML}, {"h.json", sops.Binary},
			},
		},
		"envs of a secret generator": {
			files: map[string]string{"kustomization.yaml": "secretGenerator: [{name: a, envs: [a.env, secrets, c.yaml]}]\n", "a.env": sopsDotenv, "secrets": sopsDotenv, "c.yaml": sopsYAML},
			want:  []build.Encrypted{{"a.env", sops.Dotenv}, {"c.yaml", sops.YAML}, {"secrets", sops.Dotenv}},
		},
		"a patch": {
			files: map[string]string{"kustomization.yaml": "patches: [{path: p.yaml, target: {kind: ConfigMap}}, {path: q, target: {kind: ConfigMap}}]\n", "p.yaml": sopsYAML, "q": sopsJSON},
			want:  []build.Encrypted{{"p.yaml", sops.YAML}, {"q", sops.Binary}},
		},
		"below, through resources and components of file and spec": {
			files: map[string]string{
				"app/kustomization.yaml": "resources: [../base]\ncomponents: [../one]\n", "base/kustomization.yaml": "secretGenerator: [{name: b, files: [x.yaml]}]\n",
				"base/x.yaml":            sopsYAML,
				"one/kustomization.yaml": component + "secretGenerator: [{name: c, files: [x.yaml]}]\n", "one/x.yaml": sopsYAML,
				"two/kustomization.yaml": component + "secretGenerator: [{name: d, files: [x.yaml]}]\n", "two/x.yaml": sopsYAML,
			},
			spec: fleet.BuildSpec{Components: []string{"../two"}},
			want: []build.Encrypted{{"base/x.yaml", sops.YAML}, {"one/x.yaml", sops.YAML}, {"two/x.yaml", sops.YAML}},
		},
		"in a sub-directory that a scan found": {
			files: map[string]string{"app/a.yaml": configMap("a"), "app/sub/kustomization.yaml": "secretGenerator: [{name: b, files: [x.yaml]}]\n", "app/sub/x.yaml": sopsYAML},
			want:  []build.Encrypted{{"app/sub/x.yaml", sops.YAML}},
		},
		"used twice: what it is used as first": {
			files: map[string]string{"kustomization.yaml": "secretGenerator: [{name: a, files: [x.yaml=x]}, {name: b, files: [x]}]\n", "x": sopsYAML},
			want:  []build.Encrypted{{"x", sops.YAML}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := "."
			if tc.files["app/kustomization.yaml"] != "" || tc.files["app/a.yaml"] != "" {
				dir = "app"
			}
			objects, err := build.Build(t.Context(), tree(tc.files), dir, tc.spec)
			var encrypted *build.EncryptedError
			if !errors.As(err, &encrypted) || !errors.Is(err, fleet.ErrInvalid) || len(objects) > 0 {
				t.Fatalf("objects %q, error %v; want an EncryptedError", objects, err)
			}
			if diff := cmp.Diff(tc.want, encrypted.Files); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
			if text := err.Error(); !strings.Contains(text, tc.want[0].Path) || !strings.Contains(text, "spec.decryption") || strings.Contains(text, "ENC[") {
				t.Errorf("error %q, want one that names the file and the way out, and shows nothing of it", text)
			}
		})
	}
}

// Flux leaves these as they are before it builds.
func TestWhatIsEncryptedElsewhereIsBuiltAsItIs(t *testing.T) {
	t.Parallel()
	const object = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData:\n  "
	for name, files := range map[string]map[string]string{
		"an object":                {"kustomization.yaml": "resources: [s.yaml]\n", "s.yaml": object + sopsYAML},
		"an object, scanned":       {"s.yaml": object + sopsYAML},
		"a ConfigMap's file":       {"kustomization.yaml": "configMapGenerator: [{name: a, files: [x.yaml]}]\n", "x.yaml": sopsYAML},
		"YAML for a key without":   {"kustomization.yaml": "secretGenerator: [{name: a, files: [x]}]\n", "x": sopsYAML},
		"a literal":                {"kustomization.yaml": "secretGenerator: [{name: a, literals: ['sops_mac=ENC[x']}]\n"},
		"a file that says sops":    {"kustomization.yaml": "secretGenerator: [{name: a, files: [x.yaml]}]\n", "x.yaml": "sops: {mac: none}\n"},
		"a file that is read here": {"kustomization.yaml": "resources: [a.yaml]\n", "a.yaml": configMap("a"), "x.env": sopsDotenv},
		"used first without a key": {"kustomization.yaml": "secretGenerator: [{name: b, files: [x]}, {name: a, files: [x.yaml=x]}]\n", "x": sopsYAML},
	} {
		if _, err := build.Build(t.Context(), tree(files), ".", fleet.BuildSpec{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A build elsewhere, of these inputs only, has to find all it needs.
func TestABuildThatNeedsDecryptionHasLookedAtAllItsInputs(t *testing.T) {
	t.Parallel()
	files := map[string]string{
		"app/kustomization.yaml": "resources: [../base, a.yaml]\nsecretGenerator: [{name: s, envs: [s.env]}]\npatches: [{path: p.yaml}]\nconfigurations: [names.yaml]\n" +
			"generators: [gen.yaml]\ntransformers:\n- |-\n  apiVersion: builtin\n  kind: PatchTransformer\n  metadata: {name: t}\n  path: t.yaml\n",
		"app/a.yaml": configMap("a"), "app/s.env": sopsDotenv, "app/p.yaml": configMap("a") + "data: {b: c}\n", "app/t.yaml": configMap("a") + "data: {d: e}\n",
		"app/names.yaml": "namePrefix: [{path: metadata/name}]\n", "app/gen.yaml": plugin("builtin", "ConfigMapGenerator", "") + "files: [k=g.txt]\n", "app/g.txt": "g",
		"base/kustomization.yaml": "bases: [../deep]\nconfigMapGenerator: [{name: c, files: [f.txt], envs: [f.env]}]\n", "base/f.txt": "f", "base/f.env": "A=b\n",
		"deep/kustomization.yml": "resources: [d.yaml]\ncomponents: [part]\n", "deep/d.yaml": configMap("d"), "deep/part/Kustomization": component + "resources: [e.yaml]\n", "deep/part/e.yaml": configMap("e"),
		"other/x.yaml": "",
	}
	spec := fleet.BuildSpec{Components: []string{"../none"}, IgnoreMissingComponents: true}
	stopped := buildtest.NewRecorder(tree(files))
	var encrypted *build.EncryptedError
	if _, err := build.Build(t.Context(), stopped, "app", spec); !errors.As(err, &encrypted) {
		t.Fatalf("error %v, want an EncryptedError", err)
	}
	files["app/s.env"] = "A=b\n" // decrypted
	whole := buildtest.NewRecorder(tree(files))
	want, err := build.Build(t.Context(), whole, "app", spec)
	if err != nil {
		t.Fatal(err)
	}
	for _, input := range whole.Inputs() {
		if !slices.Contains(stopped.Inputs(), input) {
			t.Errorf("the build that stopped did not look at %s", input)
		}
	}
	part := map[string]string{}
	for _, input := range stopped.Inputs() {
		if content, found := files[input]; found {
			part[input] = content
		}
	}
	if _, found := part["other/x.yaml"]; found {
		t.Error("it looked at what it does not use")
	}
	got, err := build.Build(t.Context(), tree(part), "app", spec)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("built of the inputs only: %v (-want +got):\n%s", err, diff)
	}
}

const component = "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n"
