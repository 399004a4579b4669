package build_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"flotilla.dev/flotilla/pkg/fleet"
)

func TestBuildPrintsWhatFluxPrintsForAnyTreeAndSpec(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		root, err := os.MkdirTemp(t.TempDir(), "") //nolint:usetesting // one for every case
		if err != nil {
			rt.Fatal(err)
		}
		files, spec := drawTree(rt), drawSpec(rt)
		if got, want, err := compare(rt, root, files, spec, fluxGenerator); err != nil {
			rt.Error(err)
		} else if diff := cmp.Diff(want, got); diff != "" {
			rt.Errorf("objects (-Flux +here):\n%s", diff)
		}
	})
}

// drawTree returns a directory "app" and what it refers to: bases, which may have bases themselves, and components.
func drawTree(t *rapid.T) map[string]string {
	files := map[string]string{"app/README.md": ""}
	for name, content := range components {
		files[name] = content
	}
	d := drawer{t, files}
	for _, dir := range []string{"base/deep", "base"} {
		d.directory(dir, rapid.SampledFrom([]string{"kustomization.yaml", "kustomization.yml", "Kustomization"}).Draw(t, "file"))
	}
	d.directory("app", rapid.SampledFrom([]string{"", "kustomization.yaml", "kustomization.yml", "Kustomization"}).Draw(t, "file"))
	return files
}

type drawer struct {
	*rapid.T
	files map[string]string
}

func (d drawer) often(label string) bool { return d.one(label, 3) != 0 }
func (d drawer) one(label string, of int) int {
	return rapid.IntRange(0, of-1).Draw(d.T, label)
}

func (d drawer) directory(dir, file string) {
	var resources []string
	add := func(name, object string) {
		if d.often("has " + name) {
			if file == "" && d.one("below", 2) == 0 {
				name = "below/" + name
			}
			// An object each directory, or a tree that includes another would have it twice.
			own := strings.NewReplacer("name: web", "name: web-"+strings.ReplaceAll(dir, "/", "-"), "name: settings", "name: settings-"+strings.ReplaceAll(dir, "/", "-"))
			d.files[dir+"/"+name], resources = own.Replace(object), append(resources, name)
		}
	}
	add("d.yaml", deployment)
	add("s.yaml", service)
	add("r.yml", role)
	add("c.yaml", strings.Split(configs, "---\n")[1])
	if dir == "app" {
		add("w.yaml", widget)
	}
	if file == "" {
		if d.often("sub") {
			d.files["app/sub/kustomization.yaml"] = "resources: [../../base]\n"
		}
		return
	}
	if dir != "base/deep" && d.often("base") {
		resources = append(resources, map[string]string{"app": "../base", "base": "deep"}[dir])
	}
	k := map[string]any{}
	if len(resources) > 0 {
		k["resources"] = resources
	}
	set := func(field string, value any) {
		if d.one(field, 4) == 0 {
			k[field] = value
		}
	}
	set("namespace", "own")
	set("namePrefix", dir[:1]+"-")
	set("nameSuffix", "-"+dir[:1])
	set("images", []any{map[string]any{"name": "ghcr.io/acme/web", "newTag": "tag-" + dir[:1]}, map[string]any{"name": "ghcr.io/acme/side", "newName": "side"}})
	set("commonLabels", map[string]any{"l": dir[:1]})
	set("commonAnnotations", map[string]any{"a": dir[:1]})
	set("buildMetadata", []any{"managedByLabel", "originAnnotations"})
	set("configMapGenerator", []any{map[string]any{"name": "gen-" + strings.ReplaceAll(dir, "/", "-"), "literals": []any{"a=b"}}})
	set("components", []any{strings.Repeat("../", strings.Count(dir, "/")+1) + "parts/two"})
	set("patches", []any{map[string]any{"patch": "- {op: add, path: /metadata/labels, value: {own: \"1\"}}", "target": map[string]any{"kind": "Service"}}})
	data, err := json.Marshal(k)
	if err != nil {
		d.Fatal(err)
	}
	d.files[dir+"/"+file] = string(data)
}

func drawSpec(t *rapid.T) fleet.BuildSpec {
	pick := func(label string, values ...string) string {
		return rapid.SampledFrom(append(values, "")).Draw(t, label)
	}
	spec := fleet.BuildSpec{
		TargetNamespace: pick("targetNamespace", "target"), NamePrefix: pick("namePrefix", "p-"), NameSuffix: pick("nameSuffix", "-s"),
		IgnoreMissingComponents: rapid.Bool().Draw(t, "ignoreMissingComponents"),
		Components:              rapid.SliceOfN(rapid.SampledFrom([]string{"../parts/one", "../parts/inner", "../parts/missing", "../parts/two"}), 0, 2).Draw(t, "components"),
		BuildMetadata:           rapid.SliceOfN(rapid.SampledFrom([]string{"originAnnotations", "transformerAnnotations"}), 0, 2).Draw(t, "buildMetadata"),
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "images") {
		spec.Images = append(spec.Images, fleet.Image{
			Name:    rapid.SampledFrom([]string{"ghcr.io/acme/web", "ghcr.io/acme/side", "side"}).Draw(t, "image"),
			NewName: pick("newName", "mirror/web", "ghcr.io/acme/web"), NewTag: pick("newTag", fmt.Sprint("v", i)), Digest: pick("digest", "sha256:"+strings.Repeat("4", 64)),
		})
	}
	for i := range rapid.IntRange(0, 2).Draw(t, "patches") {
		target := &fleet.PatchTarget{
			Kind: pick("kind", "Deployment", "ConfigMap", "Service|Widget"), Name: pick("name", "web.*", "set.*"), Namespace: pick("namespace", "own"),
			LabelSelector: pick("label", "app=web"),
		}
		spec.Patches = append(spec.Patches, fleet.Patch{
			Patch: rapid.SampledFrom([]string{
				fmt.Sprintf("- {op: add, path: /metadata/labels, value: {patched: \"%d\"}}", i), "- {op: remove, path: /spec/replicas}",
				fmt.Sprintf("apiVersion: v1\nkind: Any\nmetadata: {name: any, annotations: {patched: \"%d\"}}\n", i), "apiVersion: v1\nkind: Any\nmetadata: {name: any}\n$patch: delete\n",
			}).Draw(t, "patch"),
			Target: target,
		})
	}
	return spec
}
