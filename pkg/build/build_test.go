package build_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"flotilla.dev/flotilla/pkg/build"
	"flotilla.dev/flotilla/pkg/fleet"
)

func TestBuildPrintsWhatKustomizePrints(t *testing.T) {
	t.Parallel()
	files := tree(map[string]string{
		"base/kustomization.yaml":          "resources: [deployment.yaml, service.yaml]\nconfigMapGenerator:\n- {name: settings, files: [app.conf], envs: [app.env]}\n",
		"base/deployment.yaml":             "# the app\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\nspec:\n  replicas: 1\n  template:\n    spec:\n      containers:\n      - {name: web, image: web}\n      volumes:\n      - name: settings\n        configMap: {name: settings}\n",
		"base/service.yaml":                "apiVersion: v1\nkind: Service\nmetadata: {name: web}\n",
		"base/app.conf":                    "colour=blue\n",
		"base/app.env":                     "SIZE=3\n",
		"overlays/prod/kustomization.yaml": "namespace: prod\nresources: [../../base]\nimages: [{name: web, newTag: v2}]\npatches: [{path: scale.yaml}]\n",
		"overlays/prod/scale.yaml":         "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {replicas: 3}\n",
	})
	got := mustBuild(t, files, "./overlays/prod")
	const want = `apiVersion: v1
data:
  SIZE: "3"
  app.conf: |
    colour=blue
kind: ConfigMap
metadata:
  name: settings-9dm55b46kd
  namespace: prod
---
apiVersion: v1
kind: Service
metadata:
  name: web
  namespace: prod
`
	if diff := cmp.Diff(want, got[2]+"---\n"+got[1]); diff != "" {
		t.Errorf("ConfigMap and Service (-want +got):\n%s", diff)
	}
	for _, part := range []string{"replicas: 3", "image: web:v2", "name: settings-9dm55b46kd"} {
		if !strings.Contains(got[0], part) {
			t.Errorf("the Deployment lacks %q:\n%s", part, got[0])
		}
	}
	if len(got) != 3 {
		t.Errorf("%d objects, want 3", len(got))
	}
}

func TestBuildScansADirectoryWithoutKustomizationFile(t *testing.T) {
	t.Parallel()
	files := tree(map[string]string{
		"b.yml":                       configMap("b"),
		"a.yaml":                      configMap("a") + "---\n" + configMap("a2"),
		"README.md":                   "not: [yaml",
		"values.json":                 "{",
		"sub/deeper/c.yaml":           configMap("c"),
		"own/kustomization.yml":       "namePrefix: p-\nresources: [d.yaml]\n",
		"own/d.yaml":                  configMap("d"),
		"own/unused.yaml":             "not: [yaml",
		"github.com/acme/repo/e.yaml": configMap("e"),
		"github.com/acme/kustomized/Kustomization": "resources: [f.yaml]\n",
		"github.com/acme/kustomized/f.yaml":        configMap("f"),
	})
	want := []string{"a", "a2", "b", "f", "e", "p-d", "c"}
	if diff := cmp.Diff(want, names(mustBuild(t, files, ""))); diff != "" {
		t.Errorf("objects (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"c"}, names(mustBuild(t, files, "/sub/"))); diff != "" {
		t.Errorf("objects below /sub/ (-want +got):\n%s", diff)
	}
}

func TestBuildOfNothingHasNoObjects(t *testing.T) {
	t.Parallel()
	for name, files := range map[string]map[string]string{
		"no resources":          {"app/kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: []\n"},
		"nothing but the kind":  {"app/kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"},
		"resources of nothing":  {"app/kustomization.yaml": "resources:\n"},
		"an empty file":         {"app/kustomization.yaml": ""},
		"no YAML in the folder": {"app/README.md": "hello"},
		"an empty resource":     {"app/kustomization.yaml": "resources: [a.yaml]\n", "app/a.yaml": "# nothing\n"},
		"local configuration":   {"app/a.yaml": configMap("a") + "  annotations: {config.kubernetes.io/local-config: 'true'}\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := mustBuild(t, tree(files), "app"); len(got) != 0 {
				t.Errorf("objects %q, want none", got)
			}
		})
	}
	if got := mustBuild(t, tree(nil), "."); len(got) != 0 {
		t.Errorf("objects %q in a source without files", got)
	}
}

// refusals are trees that are not built, and what the error says.
var refusals = map[string]struct {
	files map[string]string
	want  []string
}{
	"broken YAML":             {map[string]string{"kustomization.yaml": "resources: [a.yaml]", "a.yaml": "a: b: c\n"}, []string{"a.yaml", "yaml"}},
	"not Kubernetes":          {map[string]string{"sub/values.yaml": "replicas: 3\n"}, []string{"sub/values.yaml: not Kubernetes YAML"}},
	"broken, scanned":         {map[string]string{"sub/a.yaml": "a: [\n"}, []string{"sub/a.yaml: not Kubernetes YAML"}},
	"broken kustomization":    {map[string]string{"kustomization.yaml": "resources: {"}, []string{"kustomization.yaml", "invalid Kustomization"}},
	"unknown field":           {map[string]string{"kustomization.yaml": "resource: [a.yaml]"}, []string{"kustomization.yaml", `unknown field "resource"`}},
	"wrong kind":              {map[string]string{"kustomization.yaml": "kind: Deployment\nresources: [a.yaml]", "a.yaml": configMap("a")}, []string{"kind should be Kustomization"}},
	"missing resource":        {map[string]string{"kustomization.yaml": "resources: [a.yaml]"}, []string{"kustomization.yaml: resources: a.yaml: no such file"}},
	"missing base":            {map[string]string{"x/kustomization.yaml": "resources: [../y]", "kustomization.yaml": "resources: [x]"}, []string{"x/kustomization.yaml: resources: ../y: no such file"}},
	"missing patch":           {map[string]string{"kustomization.yaml": "patches: [{path: p.yaml}]"}, []string{"kustomization.yaml: patches.path: p.yaml: no such file"}},
	"missing env file":        {map[string]string{"kustomization.yaml": "secretGenerator: [{name: a, envs: [x.env]}]"}, []string{"secretGenerator.envs: x.env: no such file"}},
	"base without a file":     {map[string]string{"kustomization.yaml": "resources: [sub]", "sub/a.yaml": configMap("a")}, []string{"unable to find one of 'kustomization.yaml'", "directory 'sub'"}},
	"two kustomization files": {map[string]string{"kustomization.yaml": "resources: []", "kustomization.yml": ""}, []string{"multiple kustomization files under: ."}},
	"cycle":                   {map[string]string{"kustomization.yaml": "resources: [a]", "a/kustomization.yaml": "resources: [../]"}, []string{"cycle"}},
	"the same object twice":   {map[string]string{"kustomization.yaml": "resources: [a.yaml, b.yaml]", "a.yaml": configMap("a"), "b.yaml": configMap("a")}, []string{"b.yaml", "may not add resource with an already registered id"}},
	"outside":                 {map[string]string{"kustomization.yaml": "resources: [../../etc/passwd]"}, []string{"kustomization.yaml: resources: ../../etc/passwd: it is outside of the source"}},
	"outside and in again":    {map[string]string{"kustomization.yaml": "resources: [../x/a.yaml]", "a.yaml": configMap("a")}, []string{"outside of the source"}},
	"absolute":                {map[string]string{"kustomization.yaml": "resources: [/etc/passwd]"}, []string{"kustomization.yaml: resources: /etc/passwd: absolute paths"}},
	"absolute file":           {map[string]string{"kustomization.yaml": "configMapGenerator: [{name: a, files: [x=/etc/passwd]}]"}, []string{"configMapGenerator.files: /etc/passwd: absolute paths"}},
	"charts":                  {map[string]string{"kustomization.yaml": "helmCharts: [{name: x, repo: https://x}]"}, []string{"kustomization.yaml: helmCharts"}},
	"charts, old form":        {map[string]string{"kustomization.yaml": "helmChartInflationGenerator: [{chartName: x}]"}, []string{"kustomization.yaml: helmCharts"}},
	"exec plugin":             {map[string]string{"kustomization.yaml": "generators: [g.yaml]", "g.yaml": plugin("v1", "G", "exec: {path: ./run}")}, []string{"kustomization.yaml: generators: g.yaml: plugin G is a program"}},
	"container plugin":        {map[string]string{"kustomization.yaml": "transformers: [g.yaml]", "g.yaml": plugin("v1", "G", "container: {image: x}")}, []string{"kustomization.yaml: transformers: g.yaml: plugin G"}},
	"inline plugin":           {map[string]string{"kustomization.yaml": "validators:\n- |-\n  " + strings.ReplaceAll(plugin("v1", "V", "exec: {path: x}"), "\n", "\n  ")}, []string{"validators", "plugin V is a program"}},
	"chart as a plugin":       {map[string]string{"kustomization.yaml": "generators: [g.yaml]", "g.yaml": plugin("builtin", "HelmChartInflationGenerator", "")}, []string{"generators: g.yaml: charts"}},
	"a plugin's remote file":  {map[string]string{"kustomization.yaml": "transformers: [g.yaml]", "g.yaml": plugin("builtin", "PatchTransformer", "") + "path: https://user:pw@evil/x\n"}, []string{"transformers: PatchTransformer: https://evil/x: remote"}},
	"plugins in a directory":  {map[string]string{"kustomization.yaml": "transformers: [t]", "t/kustomization.yaml": "resources: []"}, []string{"transformers: t: a directory"}},
	"invalid schema":          {map[string]string{"kustomization.yaml": "openapi: {path: s.json}\nresources: [a.yaml]\nnamePrefix: x-\npatches: [{patch: '{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {c: d}}'}]", "s.json": "{", "a.yaml": configMap("a") + "data: {a: b}\n"}, []string{"schema"}},
}

func TestBuildRefusesNamingFileAndCause(t *testing.T) {
	t.Parallel()
	for name, tc := range refusals {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			objects, err := build.Build(t.Context(), tree(tc.files), ".", fleet.BuildSpec{})
			if !errors.Is(err, fleet.ErrInvalid) {
				t.Fatalf("objects %q, error %v; want an invalid error", objects, err)
			}
			for _, part := range tc.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q lacks %q", err, part)
				}
			}
			if strings.Contains(err.Error(), ".flotilla-tree") || strings.Contains(err.Error(), "pw@") {
				t.Errorf("error %q shows too much", err)
			}
		})
	}
}

// remoteBases are what kustomize takes for repositories.
var remoteBases = []string{
	"https://example.com/x.yaml", "HTTPS://example.com/x.yaml", "http:example.com", "https://github.com/acme/repo//base?ref=v1",
	"github.com/acme/repo//base?ref=main", "GitHub.com/acme/repo", "github.com:acme/repo.git", "git@github.com:acme/repo.git//base",
	"git@example.com:acme/repo.git", "user@host/acme/repo", "ssh://git@example.com/acme/repo", "git::https://example.com/acme/repo",
	"git::git@example.com:acme/repo", "file:///etc", "gh:acme/repo", "oci://example.com/x", " https://example.com/x",
}

func TestBuildRefusesRemoteBases(t *testing.T) {
	t.Parallel()
	for _, address := range remoteBases {
		for _, field := range []string{"resources: [%q]", "bases: [%q]", "components: [%q]", "generators: [%q]", "transformers: [%q]", "validators: [%q]"} {
			file := fmt.Sprintf(field, address)
			_, err := build.Build(t.Context(), tree(map[string]string{"a/kustomization.yaml": file}), "a", fleet.BuildSpec{})
			if !errors.Is(err, fleet.ErrInvalid) || !strings.Contains(err.Error(), "a/kustomization.yaml: "+field[:4]) || !strings.Contains(err.Error(), "remote") {
				t.Errorf("%s: %v; want it refused as remote", file, err)
			}
		}
	}
	const address = "https://user:secret@example.com/x"
	for _, field := range []string{
		"crds: [%s]", "configurations: [%s]", "openapi: {path: %s}", "patches: [{path: %s}]", "patchesJson6902: [{path: %s, target: {kind: A, name: a}}]",
		"patchesStrategicMerge: [%s]", "replacements: [{path: %s}]", "configMapGenerator: [{name: a, files: [%s]}]", "Resources: [%s]",
		"configMapGenerator: [{name: a, files: ['x=%s']}]", "configMapGenerator: [{name: a, envs: [%s]}]", "secretGenerator: [{name: a, env: %s}]",
	} {
		file := fmt.Sprintf(field, address)
		_, err := build.Build(t.Context(), tree(map[string]string{"kustomization.yaml": file}), ".", fleet.BuildSpec{})
		if !errors.Is(err, fleet.ErrInvalid) || !strings.Contains(err.Error(), "remote") || strings.Contains(err.Error(), "secret@") {
			t.Errorf("%s: %v; want it refused as remote", file, err)
		}
	}
}

func TestBuildTakesNamesThatOnlyLookRemote(t *testing.T) {
	t.Parallel()
	files := tree(map[string]string{
		"kustomization.yaml": "resources: [a@b.yaml, ./github.com/x]\nconfigMapGenerator:\n- {name: c, files: [icon@2x.png, 'k=git@host:x']}\n" +
			"transformers:\n- |-\n  apiVersion: builtin\n  kind: AnnotationsTransformer\n  metadata: {name: x}\n  annotations: {docs: 'https://example.com'}\n  fieldSpecs: [{path: metadata/annotations, create: true}]\n",
		"a@b.yaml": configMap("a"), "icon@2x.png": "1", "git@host:x": "2",
		"github.com/x/kustomization.yaml": "resources: [b.yaml]", "github.com/x/b.yaml": configMap("b"),
	})
	got := mustBuild(t, files, ".")
	if len(got) != 3 || !strings.Contains(got[0], "docs: https://example.com") {
		t.Errorf("objects %q, want three with an annotation", got)
	}
}

func TestBuildSaysWhichPathIsNotThere(t *testing.T) {
	t.Parallel()
	files := tree(map[string]string{"a/b.yaml": configMap("b")})
	if _, err := build.Build(t.Context(), files, "./deploy/prod", fleet.BuildSpec{}); !errors.Is(err, fleet.ErrNotFound) || !strings.Contains(err.Error(), "path not found: deploy/prod") {
		t.Errorf("missing path: %v", err)
	}
	if _, err := build.Build(t.Context(), files, "a/b.yaml", fleet.BuildSpec{}); !errors.Is(err, fleet.ErrInvalid) || !strings.Contains(err.Error(), "a/b.yaml") {
		t.Errorf("path of a file: %v", err)
	}
	if _, err := build.Build(t.Context(), files, "a/../../b", fleet.BuildSpec{}); !errors.Is(err, fleet.ErrInvalid) || !strings.Contains(err.Error(), "outside") {
		t.Errorf("path that leads out: %v", err)
	}
}

func TestBuildKeepsSecretsOutOfErrors(t *testing.T) {
	t.Parallel()
	for name, files := range map[string]map[string]string{
		"literal":          {"kustomization.yaml": "secretGenerator: [{name: a, literals: [hunter2]}]"},
		"generator twice":  {"kustomization.yaml": "secretGenerator: [{name: a, literals: [p=hunter2]}, {name: a, literals: [p=hunter2], behavior: create}]"},
		"odd generator":    {"kustomization.yaml": "secretGenerator: [{name: a, literals: [p=hunter2], behavior: merge}]"},
		"env file":         {"kustomization.yaml": "secretGenerator: [{name: a, envs: [x]}]", "x": "1hunter2=\xff"},
		"patch":            {"kustomization.yaml": "patches: [{patch: '{apiVersion: v1, kind: Secret, data: {a: hunter2}}'}]"},
		"no name":          {"a.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {}\nstringData: {p: hunter2}\n"},
		"one namespace":    {"kustomization.yaml": "namespace: ns\nresources: [a.yaml, b.yaml]", "a.yaml": secretIn("x"), "b.yaml": secretIn("y")},
		"list for a map":   {"kustomization.yaml": "resources: [a.yaml]\npatches: [{patch: '{apiVersion: v1, kind: Secret, metadata: {name: a, namespace: x}, stringData: [hunter2]}'}]", "a.yaml": secretIn("x")},
		"below":            {"kustomization.yaml": "resources: [b]", "b/kustomization.yaml": "resources: [a.yaml]\npatches: [{patch: '{apiVersion: v1, kind: Secret, metadata: {name: a, namespace: x}, stringData: [hunter2]}'}]", "b/a.yaml": secretIn("x")},
		"path and patch":   {"kustomization.yaml": "patches: [{path: p.yaml, patch: 'hunter2: a'}]", "p.yaml": "a: b"},
		"no patch":         {"kustomization.yaml": "patches: [{target: {name: hunter2}}]"},
		"JSON patch":       {"kustomization.yaml": "patchesJson6902: [{target: {version: v1, kind: Secret, name: a}, patch: '[{\"op\": hunter2'}]"},
		"empty JSON patch": {"kustomization.yaml": "patchesJson6902: [{target: {version: v1, kind: Secret, name: a}, patch: '[] # hunter2'}]"},
		"no target":        {"kustomization.yaml": "patches: [{patch: '[{op: add, path: /a, value: hunter2}]'}]"},
		"data no map":      {"kustomization.yaml": "resources: [a.yaml]\nsecretGenerator: [{name: a, behavior: merge, literals: [p=hunter2]}]", "a.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: [hunter2]\n"},
		"index too high": {
			"kustomization.yaml": "resources: [a.yaml]\nreplacements: [{source: {kind: Secret, fieldPath: stringData.p, options: {delimiter: ':', index: 7}}, targets: [{select: {kind: Secret}, fieldPaths: [stringData.q]}]}]", "a.yaml": secretIn("x"),
		},
		"separator": {"a.yaml": secretIn("x") + "---hunter2\n" + secretIn("y")},
		"directive": {
			"kustomization.yaml": "resources: [a.yaml]\npatches: [{patch: '{apiVersion: v1, kind: Secret, metadata: {name: a, namespace: x}, stringData: {$patch: hunter2}}'}]", "a.yaml": secretIn("x"),
		},
		"replicas": {"kustomization.yaml": "resources: [a.yaml]\nreplicas: [{name: a, count: 2}]", "a.yaml": "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: [hunter2]\n"},
		"label":    {"kustomization.yaml": "resources: [a.yaml]\ncommonLabels: {a: b}", "a.yaml": "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {selector: [hunter2]}\n"},
	} {
		_, err := build.Build(t.Context(), tree(files), ".", fleet.BuildSpec{})
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v; want an error without the secret", name, err)
		}
	}
}

func TestMessagesLoseWhatIsInObjects(t *testing.T) {
	t.Parallel()
	for _, message := range []string{
		"found multiple possible referrals: Secret.v1.[noGrp]/a.[noNs]\n\n**** Too many possible referral targets to referrer:\ndata: hunter2",
		"roleRef cannot be found in kind: RoleBinding\nmetadata: hunter2",
		"apiGroup cannot be found in roleRef name: hunter2\n",
		"no implemented strategic merge patch strategy for '!!str' ('hunter2')",
		"received error missing for the following resource:\ndata: hunter2",
		"node data.p is not a string: hunter2",
		`accumulateDirectory: "must specify a target for patch [{\"op\": \"hunter2\"}]"`,
		`accumulateDirectory: "patch and path can't be set at the same time\npatch: hunter2"`,
		`anchor "a" defined using alias &{8 0 hunter2}`,
		"yaml MappingNodes must have even length contents: content length 1, content summary: hunter2",
		"yaml: unmarshal errors:\n  line 1: cannot unmarshal !!str `hunter2` into map[string]string",
	} {
		if got := build.Tidy(message); strings.Contains(got, "hunter2") {
			t.Errorf("%s", got)
		}
	}
	const plain = "accumulating resources from 'a': no such file, in 'b', line 3: kind is missing"
	if got := build.Tidy(plain); got != plain {
		t.Errorf("a message without contents becomes %q", got)
	}
}

func secretIn(namespace string) string {
	return "apiVersion: v1\nkind: Secret\nmetadata: {name: a, namespace: " + namespace + "}\nstringData: {p: hunter2}\n"
}

func TestBuildGivesBackTheFileSystemsErrors(t *testing.T) {
	t.Parallel()
	broken := errors.New("the store is away")
	files := failing{tree(map[string]string{"kustomization.yaml": "resources: [a.yaml]", "a.yaml": configMap("a")}), "a.yaml", broken}
	if _, err := build.Build(t.Context(), files, ".", fleet.BuildSpec{}); !errors.Is(err, broken) || errors.Is(err, fleet.ErrInvalid) {
		t.Errorf("error %v, want the file system's", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := build.Build(ctx, files.MapFS, ".", fleet.BuildSpec{}); !errors.Is(err, context.Canceled) || errors.Is(err, fleet.ErrInvalid) {
		t.Errorf("error %v, want that of the context", err)
	}
}

func TestBuildBoundsWhatItReads(t *testing.T) {
	t.Parallel()
	files := tree(map[string]string{"kustomization.yaml": "configMapGenerator: [{name: a, files: [big]}]", "big": strings.Repeat("x", build.MaxInput+1)})
	if _, err := build.Build(t.Context(), files, ".", fleet.BuildSpec{}); !errors.Is(err, fleet.ErrInvalid) || !strings.Contains(err.Error(), "with big the build reads more than") {
		t.Errorf("error %v, want one about the bound", err)
	}
}

// widgetSchema has the parts of a Widget merged by name.
const widgetSchema = `{"definitions":{"v1.Widget":{"properties":{"spec":{"$ref":"#/definitions/v1.Spec"}},"type":"object","x-kubernetes-group-version-kind":[{"group":"example.com","kind":"Widget","version":"v1"}]},` +
	`"v1.Spec":{"properties":{"parts":{"items":{"type":"object"},"type":"array","x-kubernetes-patch-merge-key":"name","x-kubernetes-patch-strategy":"merge"}},"type":"object"}}}`

func TestASchemaStaysInItsBuild(t *testing.T) {
	t.Parallel()
	const patch = "patches:\n- patch: '{apiVersion: example.com/v1, kind: Widget, metadata: {name: a}, spec: {parts: [{name: y, size: 2}]}}'\n"
	widget := "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: a}\nspec: {parts: [{name: x, size: 1}]}\n"
	with := tree(map[string]string{"kustomization.yaml": "openapi: {path: s.json}\nresources: [a.yaml]\n" + patch, "a.yaml": widget, "s.json": widgetSchema})
	without := tree(map[string]string{"kustomization.yaml": "resources: [a.yaml]\n" + patch, "a.yaml": widget})
	before := mustBuild(t, without, ".")
	if merged := mustBuild(t, with, "."); merged[0] == before[0] {
		t.Fatalf("the schema makes no difference:\n%s", merged[0])
	}
	if after := mustBuild(t, without, "."); after[0] != before[0] {
		t.Errorf("a build with a schema changed the next one:\n%s", after[0])
	}
}

type failing struct {
	fstest.MapFS
	name string
	err  error
}

func (f failing) ReadFile(name string) ([]byte, error) {
	if name == f.name {
		return nil, &fs.PathError{Op: "read", Path: name, Err: f.err}
	}
	return f.MapFS.ReadFile(name)
}

func tree(files map[string]string) fstest.MapFS {
	out := fstest.MapFS{}
	for name, content := range files {
		out[name] = &fstest.MapFile{Data: []byte(content), Mode: 0o644}
	}
	return out
}

func configMap(name string) string {
	return "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: " + name + "\n"
}

func plugin(apiVersion, kind, function string) string {
	annotations := ""
	if function != "" {
		annotations = "\n  annotations:\n    config.kubernetes.io/function: |\n      " + function
	}
	return "apiVersion: " + apiVersion + "\nkind: " + kind + "\nmetadata:\n  name: x" + annotations + "\n"
}

func names(objects []string) []string {
	var out []string
	for _, object := range objects {
		_, rest, _ := strings.Cut(object, "  name: ")
		name, _, _ := strings.Cut(rest, "\n")
		out = append(out, name)
	}
	return out
}

func mustBuild(t *testing.T, files fstest.MapFS, dir string) []string {
	t.Helper()
	objects, err := build.Build(t.Context(), files, dir, fleet.BuildSpec{})
	if err != nil {
		t.Fatal(err)
	}
	out := make([]string, len(objects))
	for i, object := range objects {
		out[i] = string(object)
	}
	return out
}
