package build_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/fluxcd/pkg/kustomize"
	"github.com/fluxcd/pkg/kustomize/filesys"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/types"

	"flotilla.dev/flotilla/pkg/build"
	"flotilla.dev/flotilla/pkg/fleet"
)

const (
	deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\n  labels: {app: web}\nspec:\n  replicas: 1\n  selector: {matchLabels: {app: web}}\n" +
		"  template:\n    metadata: {labels: {app: web}}\n    spec:\n      containers:\n      - {name: web, image: 'ghcr.io/acme/web:v1', envFrom: [{configMapRef: {name: settings}}]}\n" +
		"      - {name: side, image: 'ghcr.io/acme/side@sha256:1111111111111111111111111111111111111111111111111111111111111111'}\n"
	service   = "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: own}\nspec: {selector: {app: web}}\n"
	role      = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: web}\nroleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}\nsubjects: [{kind: ServiceAccount, name: default, namespace: default}]\n"
	widget    = "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w}\nspec: {image: ghcr.io/acme/web}\n"
	namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: team}\n"
	configs   = "---\n# several\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {a: b, \"on\": \"yes\", n: '007', e: \"1e3\"}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: other, annotations: {x: y}}\n"
)

// files that components of a spec name, beside every tree.
var components = map[string]string{
	"parts/one/kustomization.yaml":   component + "resources: [extra.yaml]\npatches: [{patch: '[{\"op\": \"add\", \"path\": \"/metadata/labels/one\", \"value\": \"1\"}]', target: {kind: Deployment}}]\n",
	"parts/one/extra.yaml":           configMap("extra"),
	"parts/two/Kustomization":        component + "configMapGenerator: [{name: gen, literals: [a=b]}]\nimages: [{name: ghcr.io/acme/web, newTag: two}]\n",
	"parts/inner/kustomization.yaml": component + "commonAnnotations: {inner: \"1\"}\n",
	"parts/none/readme.md":           "no kustomization\n",
	"app/readme.md":                  "there is an app\n",
}

var oracleTrees = map[string]map[string]string{
	"resources": {"app/kustomization.yaml": "resources: [d.yaml, s.yaml, r.yaml, w.yaml, n.yaml, c.yaml]\n", "app/d.yaml": deployment, "app/s.yaml": service, "app/r.yaml": role, "app/w.yaml": widget, "app/n.yaml": namespace, "app/c.yaml": configs},
	"everything of its own": {
		"app/kustomization.yaml": "# comment\napiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nmetadata: {name: x}\nnamespace: own\nnamePrefix: o-\nnameSuffix: -o\nresources: [d.yaml, s.yaml]\n" +
			"images: [{name: ghcr.io/acme/web, newName: mirror/web, newTag: v2}, {name: ghcr.io/acme/side, digest: 'sha256:2222222222222222222222222222222222222222222222222222222222222222'}]\n" +
			"patches: [{path: p.yaml}, {patch: '[{\"op\": \"replace\", \"path\": \"/spec/replicas\", \"value\": 2}]', target: {kind: Deployment}}]\ncomponents: [../own-part]\nbuildMetadata: [managedByLabel, originAnnotations]\n" +
			"labels: [{pairs: {team: a}, includeSelectors: true}]\ncommonAnnotations: {note: \"1\"}\nreplicas: [{name: web, count: 5}]\n",
		"app/d.yaml": deployment, "app/s.yaml": service, "app/p.yaml": "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {template: {spec: {containers: [{name: web, env: [{name: A, value: b}]}]}}}\n",
		"own-part/kustomization.yaml": component + "resources: [x.yaml]\n", "own-part/x.yaml": configMap("own-part"),
	},
	"deprecated fields": {
		"app/kustomization.yml": "bases: [../base]\nimageTags: [{name: ghcr.io/acme/web, newTag: v3}]\npatchesStrategicMerge:\n- p.yaml\npatchesJson6902: [{patch: '[{\"op\": \"replace\", \"path\": \"/spec/replicas\", \"value\": 3}]', target: {group: apps, version: v1, kind: Deployment, name: web}}]\n" +
			"commonLabels: {x: \"1\"}\nvars: [{name: V, objref: {apiVersion: v1, kind: Service, name: web}}]\nsecretGenerator: [{name: s, env: s.env}]\n",
		"app/p.yaml": "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: own}\nspec: {type: LoadBalancer}\n", "app/s.env": "A=b\n",
		"base/kustomization.yaml": "resources: [d.yaml, s.yaml]\n", "base/d.yaml": deployment, "base/s.yaml": service,
	},
	"overlay": {
		"app/Kustomization": "resources: [../base]\nnamespace: own\n", "base/kustomization.yaml": "namePrefix: b-\nresources: [d.yaml, c.yaml]\nconfigMapGenerator: [{name: gen2, files: [f.txt]}]\nimages: [{name: ghcr.io/acme/web, newTag: base}]\n",
		"base/d.yaml": deployment, "base/c.yaml": configs, "base/f.txt": "file\n",
	},
	"generators": {
		"app/kustomization.yaml": "configMapGenerator: [{name: settings, files: [f.txt], envs: [e.env]}]\nsecretGenerator: [{name: s, literals: [a=b], type: Opaque, options: {disableNameSuffixHash: true, labels: {l: m}}}]\ngeneratorOptions: {annotations: {g: h}}\nbuildMetadata: [transformerAnnotations]\n",
		"app/f.txt":              "file\n", "app/e.env": "B=c\n",
	},
	"generators beside resources": {
		"app/kustomization.yaml": "resources: [d.yaml]\nconfigMapGenerator: [{name: settings, literals: [a=b]}]\n", "app/d.yaml": deployment,
	},
	"components only": {"app/kustomization.yaml": "components: [../parts/one]\n"},
	"empty file":      {"app/kustomization.yaml": ""},
	"no resources":    {"app/kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: []\n"},
	"prefix only":     {"app/kustomization.yaml": "namePrefix: o-\n"},
	"plain":           {"app/d.yaml": deployment, "app/c.yml": configs, "app/r.yaml": role, "app/values.json": "{", "app/w.yaml": widget},
	"nested": {
		"app/a/b/d.yaml": deployment, "app/a/s.yaml": service, "app/own/kustomization.yaml": "namePrefix: sub-\nresources: [c.yaml]\n", "app/own/c.yaml": configs, "app/own/ignored.yaml": "a: [",
		"app/own/deep/x.yaml": configMap("never"), "app/z/Kustomization": "resources: [n.yaml]\n", "app/z/n.yaml": namespace, "app/A.yaml": configMap("upper"),
	},
	"empty directory":   {"app/notes.txt": ""},
	"component at top":  {"app/kustomization.yaml": component + "resources: [c.yaml]\n", "app/c.yaml": configs},
	"two files":         {"app/kustomization.yaml": "resources: [c.yaml]\n", "app/kustomization.yml": "resources: []\n", "app/c.yaml": configs},
	"broken":            {"app/c.yaml": "a: ["},
	"same object twice": {"app/a.yaml": configMap("a"), "app/b.yaml": configMap("a")},
}

var oracleSpecs = map[string]fleet.BuildSpec{
	"nothing":         {},
	"targetNamespace": {TargetNamespace: "target"},
	"namePrefix":      {NamePrefix: "p-"},
	"nameSuffix":      {NameSuffix: "-s"},
	"patches": {Patches: []fleet.Patch{
		{Patch: "- op: add\n  path: /metadata/annotations\n  value: {patched: \"1\"}\n", Target: &fleet.PatchTarget{Kind: "ConfigMap", Name: "set.*"}},
		{Patch: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ignored}\ndata: {p: q}\n", Target: &fleet.PatchTarget{Version: "v1", Kind: "ConfigMap"}},
		{Patch: "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: all}\nspec: {template: {spec: {hostNetwork: true}}}\n", Target: &fleet.PatchTarget{Group: "apps", LabelSelector: "app=web"}},
		{Patch: "$patch: delete\napiVersion: v1\nkind: Service\nmetadata: {name: web}\n", Target: &fleet.PatchTarget{Kind: "Service", Namespace: "own"}},
		{Patch: "- {op: add, path: /metadata/labels, value: {w: \"1\"}}", Target: &fleet.PatchTarget{AnnotationSelector: "x=y"}},
	}},
	"patch without target": {Patches: []fleet.Patch{{Patch: "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {replicas: 9}\n"}}},
	"patch that fails":     {Patches: []fleet.Patch{{Patch: "- {op: remove, path: /spec/none}", Target: &fleet.PatchTarget{Kind: "Deployment"}}}},
	"images":               {Images: []fleet.Image{{Name: "ghcr.io/acme/web", NewTag: "v9"}, {Name: "ghcr.io/acme/side", NewName: "mirror/side"}}},
	"image digest":         {Images: []fleet.Image{{Name: "ghcr.io/acme/web", Digest: "sha256:3333333333333333333333333333333333333333333333333333333333333333"}}},
	"images twice":         {Images: []fleet.Image{{Name: "ghcr.io/acme/web", NewTag: "v9"}, {Name: "ghcr.io/acme/side", NewTag: "v8", Digest: "sha256:3333333333333333333333333333333333333333333333333333333333333333"}, {Name: "ghcr.io/acme/web", NewName: "again/web"}, {Name: "again/web", NewTag: "no"}}},
	"components":           {Components: []string{"../parts/one", "../parts/inner", "../parts/two"}},
	"a missing component":  {Components: []string{"../parts/missing"}},
	"ignored components":   {Components: []string{"../parts/missing", "../parts/one", "../../outside"}, IgnoreMissingComponents: true},
	"not a component":      {Components: []string{"../parts/none"}, IgnoreMissingComponents: true},
	"component is a file":  {Components: []string{"../parts/none/readme.md"}, IgnoreMissingComponents: true},
	"remote component":     {Components: []string{"github.com/acme/parts"}, IgnoreMissingComponents: true},
	"absolute component":   {Components: []string{"/parts/one"}, IgnoreMissingComponents: true},
	"originAnnotations":    {BuildMetadata: []string{"originAnnotations"}},
	"transformers":         {BuildMetadata: []string{"transformerAnnotations"}, NamePrefix: "p-"},
	"everything": {
		TargetNamespace: "target", NamePrefix: "p-", NameSuffix: "-s", Components: []string{"../parts/one", "../parts/missing", "../parts/inner"}, IgnoreMissingComponents: true,
		Patches: []fleet.Patch{{Patch: "- {op: add, path: /metadata/annotations, value: {patched: \"1\"}}", Target: &fleet.PatchTarget{Kind: "ConfigMap|Deployment"}}},
		Images:  []fleet.Image{{Name: "ghcr.io/acme/web", NewName: "mirror/web", NewTag: "v9"}}, BuildMetadata: []string{"originAnnotations", "transformerAnnotations"},
	},
}

// The oracle is Flux's own code. It and a build here share kustomize's global state and no lock, so that nothing else may
// build meanwhile: these tests are not parallel.
func TestBuildPrintsWhatFluxPrints(t *testing.T) {
	for treeName, files := range oracleTrees {
		for specName, spec := range oracleSpecs {
			// These fail whatever the spec is.
			if slices.Contains([]string{"two files", "broken", "same object twice"}, treeName) && specName != "nothing" && specName != "everything" {
				continue
			}
			t.Run(treeName+"/"+specName, func(t *testing.T) {
				all := maps.Clone(components)
				maps.Copy(all, files)
				flux := fluxGenerator
				if specName == "everything" {
					flux = kustomize.SecureBuild
				}
				if got, want, err := compare(t, t.TempDir(), all, spec, flux); err != nil {
					t.Error(err)
				} else if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("objects (-Flux +here):\n%s", diff)
				}
			})
		}
	}
}

// Kubernetes' own kinds are merged by their own schema whatever schema the files bring, and whatever was built before.
func TestASchemaIsBesideThoseOfKubernetesAsWithFlux(t *testing.T) {
	files := map[string]string{
		"app/kustomization.yaml": "openapi: {path: s.json}\nresources: [d.yaml, w.yaml]\npatches:\n- patch: '{apiVersion: example.com/v1, kind: Widget, metadata: {name: w}, spec: {parts: [{name: y, size: 2}]}}'\n" +
			"- patch: '{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, spec: {template: {spec: {containers: [{name: side, env: [{name: A, value: b}]}]}}}}'\n",
		"app/d.yaml": deployment, "app/w.yaml": "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w}\nspec: {parts: [{name: x, size: 1}]}\n", "app/s.json": widgetSchema,
	}
	for range 2 {
		got, want, err := compare(t, t.TempDir(), files, fleet.BuildSpec{}, kustomize.SecureBuild)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("objects (-Flux +here):\n%s", diff)
		}
	}
}

// compare builds the files here and as kustomize-controller does: it writes a kustomization file, and builds the
// directory. An error is one that only one of them has.
func compare(
	t interface{ Fatal(...any) }, root string, files map[string]string, spec fleet.BuildSpec, flux func(root, dir string, remote bool) (resmap.ResMap, error),
) (got, want string, err error) {
	if err := os.CopyFS(root, tree(files)); err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(spec.Encode(), &fields); err != nil {
		t.Fatal(err)
	}
	var wanted error
	dir := filepath.Join(root, "app")
	if _, wanted = kustomize.NewGenerator(root, unstructured.Unstructured{Object: map[string]any{"spec": fields}}).WriteFile(dir); wanted == nil {
		var objects resmap.ResMap
		if objects, wanted = flux(root, dir, false); wanted == nil {
			data, err := objects.AsYaml()
			if err != nil {
				t.Fatal(err)
			}
			want = string(data)
		}
	}
	objects, err := build.Build(context.Background(), tree(files), "./app", spec)
	if (err != nil) != (wanted != nil) {
		return "", "", fmt.Errorf("error %w, Flux's is %v", err, wanted)
	}
	return string(bytes.Join(objects, []byte("---\n"))), want, nil
}

// fluxGenerator is kustomize.SecureBuild without loading kustomize's schemas anew, which takes most of its time.
func fluxGenerator(root, dir string, _ bool) (resmap.ResMap, error) {
	files, err := filesys.MakeFsOnDiskSecure(root)
	if err != nil {
		return nil, err
	}
	return krusty.MakeKustomizer(&krusty.Options{LoadRestrictions: types.LoadRestrictionsNone, PluginConfig: types.DisabledPluginConfig()}).Run(files, dir)
}
