package build_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"flotilla.dev/flotilla/pkg/build"
	"flotilla.dev/flotilla/pkg/build/buildtest"
	"flotilla.dev/flotilla/pkg/fleet"
)

func TestAnErrorOfTheSpecNamesTheField(t *testing.T) {
	t.Parallel()
	files := tree(map[string]string{
		"app/kustomization.yaml": "resources: [a.yaml]\npatches: [{patch: '{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {c: d}}'}]\n",
		"app/a.yaml":             configMap("a"), "part/kustomization.yaml": component, "plain/a.yaml": configMap("a"),
	})
	good := fleet.Patch{Patch: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a: b}\n"}
	anyMap := &fleet.PatchTarget{Kind: "ConfigMap"}
	for name, tc := range map[string]struct {
		spec fleet.BuildSpec
		want string
	}{
		"a remote component":               {fleet.BuildSpec{Components: []string{"../part", "github.com/acme/part"}}, "spec.components[1]: github.com/acme/part: remote bases"},
		"a remote component, ignored":      {fleet.BuildSpec{Components: []string{"https://user:pw@example.com/part"}, IgnoreMissingComponents: true}, "spec.components[0]: https://example.com/part: remote bases"},
		"an absolute component":            {fleet.BuildSpec{Components: []string{"/part"}, IgnoreMissingComponents: true}, "spec.components[0]: /part: absolute"},
		"a component that is not there":    {fleet.BuildSpec{Components: []string{"../part", "../none"}}, "spec.components[1]: ../none: no such file or directory"},
		"a component outside":              {fleet.BuildSpec{Components: []string{"../../x"}}, "spec.components[0]: ../../x: it is outside of the source"},
		"a component that is a file":       {fleet.BuildSpec{Components: []string{"a.yaml"}}, "spec.components[0]: app/a.yaml: not a directory"},
		"a component without its file":     {fleet.BuildSpec{Components: []string{"../plain"}, IgnoreMissingComponents: true}, "spec.components[0]: plain: it has no kustomization file"},
		"a patch that is no patch":         {fleet.BuildSpec{Patches: []fleet.Patch{good, {Patch: "hunter2"}, good}}, "spec.patches[1]: "},
		"a broken patch":                   {fleet.BuildSpec{Patches: []fleet.Patch{{Patch: "a: [hunter2"}}}, "spec.patches[0]: "},
		"a patch for nothing":              {fleet.BuildSpec{Patches: []fleet.Patch{good, good, {Patch: "apiVersion: v1\nkind: Secret\nmetadata: {name: x}\nstringData: {p: hunter2}\n"}}}, "spec.patches[2]: no resource matches"},
		"operations without target":        {fleet.BuildSpec{Patches: []fleet.Patch{{Patch: "- {op: add, path: /data, value: {p: hunter2}}\n"}, good}}, "spec.patches[0]: "},
		"an operation that fails":          {fleet.BuildSpec{Patches: []fleet.Patch{good, good, good, {Patch: "- {op: replace, path: /spec/none, value: hunter2}\n", Target: anyMap}, good}}, "spec.patches[3]: "},
		"a test that fails":                {fleet.BuildSpec{Patches: []fleet.Patch{{Patch: "- {op: test, path: /data/c, value: hunter2}\n", Target: anyMap}}}, "spec.patches[0]: "},
		"a selector that cannot be parsed": {fleet.BuildSpec{Patches: []fleet.Patch{{Patch: good.Patch, Target: &fleet.PatchTarget{LabelSelector: "a in ("}}}}, "spec.patches[0]: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			objects, err := build.Build(t.Context(), files, "app", tc.spec)
			if !errors.Is(err, fleet.ErrInvalid) || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("objects %q, error %v; want one that says %q", objects, err, tc.want)
			}
			if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "pw@") {
				t.Errorf("error %q shows too much", err)
			}
		})
	}
}

func TestAnErrorOfTheFilesIsNotBlamedOnTheSpec(t *testing.T) {
	t.Parallel()
	spec := fleet.BuildSpec{Patches: []fleet.Patch{{Patch: "- {op: add, path: /metadata/labels, value: {a: b}}\n", Target: &fleet.PatchTarget{Kind: "ConfigMap"}}}}
	files := tree(map[string]string{"kustomization.yaml": "resources: [a.yaml]\npatches: [{path: p.yaml}]\n", "a.yaml": configMap("a"), "p.yaml": configMap("none")})
	if _, err := build.Build(t.Context(), files, ".", spec); !errors.Is(err, fleet.ErrInvalid) || strings.Contains(err.Error(), "spec.") {
		t.Errorf("error %v, want one that names no field of the spec", err)
	}
}

func TestAnIgnoredComponentIsAnInput(t *testing.T) {
	t.Parallel()
	files := map[string]string{"app/a.yaml": configMap("a")}
	spec := fleet.BuildSpec{Components: []string{"../part"}, IgnoreMissingComponents: true}
	recorder := buildtest.NewRecorder(tree(files))
	if objects, err := build.Build(t.Context(), recorder, "app", spec); err != nil || len(objects) != 1 {
		t.Fatalf("objects %q, error %v", objects, err)
	}
	inputs := recorder.Inputs()
	if !slices.Contains(inputs, "part") {
		t.Errorf("inputs %q lack the component", inputs)
	}
	before := build.Key(artifactTree(t, files), inputs)
	files["part/kustomization.yaml"] = component + "namePrefix: x-\n"
	if build.Key(artifactTree(t, files), inputs) == before {
		t.Error("the component appeared, and the key is the same")
	}
	if objects, err := build.Build(t.Context(), tree(files), "app", spec); err != nil || !strings.Contains(string(objects[0]), "name: x-a") {
		t.Errorf("objects %q, error %v; want the component's prefix", objects, err)
	}
}
