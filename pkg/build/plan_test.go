package build_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/build"
	"flotilla.dev/flotilla/pkg/build/buildtest"
	"flotilla.dev/flotilla/pkg/fleet"
)

func TestPlanSaysHowATreeIsBuiltAndWhy(t *testing.T) {
	t.Parallel()
	base := map[string]string{
		"base/kustomization.yaml": "resources: [a.yaml]\n", "base/a.yaml": configMap("a"), "f": "x", "s.env": "A=b\n",
		"parts/kustomization.yaml": component + "labels: [{pairs: {a: b}}]\n", "c.yaml": "{}", "s.json": "{}",
	}
	spec := fleet.BuildSpec{}
	for name, tc := range map[string]struct {
		file string
		spec fleet.BuildSpec
		want build.Class
		why  string
	}{
		"resources only":               {"resources: [../base]\n", spec, build.ClassPlain, "it only lists resources"},
		"with a name":                  {"metadata: {name: x}\nkind: Kustomization\nresources: [../base]\n", spec, build.ClassPlain, ""},
		"bases":                        {"bases: [../base]\n", spec, build.ClassEngine, "app/kustomization.yaml: resources (there are none, "}, // that Flux sees
		"a namespace":                  {"resources: [../base]\nnamespace: x\n", spec, build.ClassEngine, "app/kustomization.yaml: namespace: "},
		"an empty field":               {"resources: [../base]\npatches: []\n", spec, build.ClassPlain, ""},
		"a prefix of the spec":         {"resources: [../base]\n", fleet.BuildSpec{NamePrefix: "p-"}, build.ClassEngine, "app/kustomization.yaml: spec.namePrefix: "},
		"a component of the spec":      {"resources: [../base]\n", fleet.BuildSpec{Components: []string{"../parts"}}, build.ClassEngine, "app/kustomization.yaml: spec.components: "},
		"a component below":            {"resources: [../base]\ncomponents: [../parts]\n", spec, build.ClassEngine, "app/kustomization.yaml: components: "},
		"a ConfigMap that is added to": {"resources: [../base]\nconfigMapGenerator: [{name: a, behavior: merge, literals: [a=b]}]\n", spec, build.ClassEngine, "configMapGenerator"},
		"a Secret that is added to":    {"resources: [../base]\nsecretGenerator: [{name: a, behavior: merge, literals: [a=b]}]\n", spec, build.ClassEngine, "secretGenerator"},
		"a schema":                     {"resources: [../base]\nopenapi: {path: ../s.json}\n", spec, build.ClassKustomize, "app/kustomization.yaml: openapi: "},
		"definitions":                  {"resources: [../base]\ncrds: [../c.yaml]\n", spec, build.ClassKustomize, "app/kustomization.yaml: crds: "},
		"configurations":               {"resources: [../base]\nconfigurations: [../c.yaml]\n", spec, build.ClassKustomize, "app/kustomization.yaml: configurations: "},
		"variables":                    {"resources: [../base]\nvars: [{name: V, objref: {apiVersion: v1, kind: ConfigMap, name: a}}]\n", spec, build.ClassKustomize, "app/kustomization.yaml: vars: "},
		"a transformer":                {"resources: [../base]\ntransformers: ['{apiVersion: builtin, kind: PrefixTransformer, metadata: {name: x}, prefix: a-}']\n", spec, build.ClassKustomize, "app/kustomization.yaml: transformers: "},
		"an order":                     {"resources: [../base]\nsortOptions: {order: legacy}\n", spec, build.ClassEngine, "app/kustomization.yaml: sortOptions: "},
		"metadata of the build":        {"resources: [../base]\nbuildMetadata: [managedByLabel]\n", spec, build.ClassEngine, "app/kustomization.yaml: buildMetadata: "},
		"metadata by the spec":         {"resources: [../base]\n", fleet.BuildSpec{BuildMetadata: []string{"managedByLabel"}}, build.ClassEngine, "app/kustomization.yaml: spec.buildMetadata: "},
		"nothing":                      {"crds: []\n", spec, build.ClassEngine, "app/kustomization.yaml: resources (there are none, which makes objects say where they come from): "},
		"a file that is encrypted":     {"resources: [../base]\nsecretGenerator: [{name: a, envs: [../x.env]}]\n", spec, build.ClassEncrypted, "x.env: encrypted with SOPS"},
		"what is wrong":                {"resources: [../base, ../wrong]\n", spec, build.ClassKustomize, "wrong/kustomization.yaml: kustomize says what is wrong"},
		"two files":                    {"resources: [../base, ../two]\n", spec, build.ClassKustomize, "two/kustomization.yml: kustomize says what is wrong"},
		"no file":                      {"", spec, build.ClassPlain, "it only lists resources"},
		"no file, with a namespace":    {"", fleet.BuildSpec{TargetNamespace: "x"}, build.ClassEngine, "app/kustomization.yaml: spec.targetNamespace: "},
	} {
		files := maps.Clone(base)
		files["app/a.yaml"] = configMap("own")
		if files["app/kustomization.yaml"] = tc.file; tc.file == "" {
			delete(files, "app/kustomization.yaml")
		}
		files["x.env"], files["wrong/kustomization.yaml"] = sopsDotenv, "resource: []\n"
		files["two/kustomization.yaml"], files["two/kustomization.yml"] = "resources: []\n", "resources: []\n"
		plan, err := build.NewPlan(t.Context(), tree(files), "app", tc.spec)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if plan.Class != tc.want || !strings.Contains(plan.Why(), tc.why) {
			t.Errorf("%s: %s, because of %q; want %s, because of %q", name, plan.Class, plan.Why(), tc.want, tc.why)
		}
		if plan.Schema != (name == "a schema") {
			t.Errorf("%s: schema %t", name, plan.Schema)
		}
	}
}

// A plan refuses what the build would, in the same words.
func TestPlanRefusesWhatBuildRefuses(t *testing.T) {
	t.Parallel()
	left := []string{ // to kustomize, which reads more
		"base without a file", "broken YAML", "cycle", "invalid schema", "the same object twice", "two kustomization files", "wrong kind",
	}
	check := func(name string, files map[string]string, dir string, refused bool) {
		t.Helper()
		_, want := build.Build(t.Context(), tree(files), dir, fleet.BuildSpec{})
		_, got := build.NewPlan(t.Context(), tree(files), dir, fleet.BuildSpec{})
		if !refused && got == nil {
			return
		}
		if want == nil || got == nil || got.Error() != want.Error() || !errors.Is(got, fleet.ErrInvalid) {
			t.Errorf("%s: %v; the build's is %v", name, got, want)
		}
	}
	for name, tc := range refusals {
		check(name, tc.files, ".", !slices.Contains(left, name))
	}
	for _, address := range remoteBases {
		for _, field := range []string{"resources", "bases", "components", "generators"} {
			file := fmt.Sprintf("%s: [%q]", field, address)
			check(file, map[string]string{"a/kustomization.yaml": "resources: [../b]\n", "b/kustomization.yaml": file}, "a", true)
		}
	}
	for _, dir := range []string{"none", "../x", "a/kustomization.yaml"} {
		_, want := build.Build(t.Context(), tree(map[string]string{"a/kustomization.yaml": ""}), dir, fleet.BuildSpec{})
		_, got := build.NewPlan(t.Context(), tree(map[string]string{"a/kustomization.yaml": ""}), dir, fleet.BuildSpec{})
		if want == nil || got == nil || got.Error() != want.Error() {
			t.Errorf("%s: %v; the build's is %v", dir, got, want)
		}
	}
}

func TestPlanGivesBackTheFileSystemsErrors(t *testing.T) {
	t.Parallel()
	broken := errors.New("the store is away")
	files := failing{tree(map[string]string{"app/kustomization.yaml": "resources: [../base]", "base/kustomization.yaml": ""}), "base/kustomization.yaml", broken}
	if _, err := build.NewPlan(t.Context(), files, "app", fleet.BuildSpec{}); !errors.Is(err, broken) || errors.Is(err, fleet.ErrInvalid) {
		t.Errorf("error %v, want the file system's", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := build.NewPlan(ctx, files.MapFS, "app", fleet.BuildSpec{}); !errors.Is(err, context.Canceled) || errors.Is(err, fleet.ErrInvalid) {
		t.Errorf("error %v, want that of the context", err)
	}
}

// everyReference is a tree with a file for each field that names one.
var everyReference = map[string]string{
	"app/kustomization.yaml": "resources: [../base, a.yaml]\nsecretGenerator: [{name: s, envs: [s.env], files: [k=s.txt]}]\npatches: [{path: p.yaml}]\nconfigurations: [names.yaml]\n" +
		"crds: [crd.json]\nreplacements: [{path: r.yaml}]\npatchesStrategicMerge: [m.yaml]\npatchesJson6902: [{path: j.json, target: {version: v1, kind: ConfigMap, name: a}}]\nopenapi: {path: s.json}\n" +
		"generators: [gen.yaml]\ntransformers:\n- |-\n  apiVersion: builtin\n  kind: PatchTransformer\n  metadata: {name: t}\n  path: t.yaml\n",
	"app/a.yaml": configMap("a"), "app/s.env": "A=b\n", "app/s.txt": "t", "app/p.yaml": configMap("a") + "data: {b: c}\n", "app/t.yaml": configMap("a") + "data: {d: e}\n",
	"app/names.yaml": "namePrefix: [{path: metadata/name}]\n", "app/gen.yaml": plugin("builtin", "ConfigMapGenerator", "") + "files: [k=g.txt]\n", "app/g.txt": "g",
	"app/crd.json": "{}", "app/m.yaml": configMap("a") + "data: {m: m}\n", "app/j.json": `[{"op": "add", "path": "/data/j", "value": "j"}]`, "app/s.json": widgetSchema,
	"app/r.yaml":              "source: {kind: ConfigMap, name: c, fieldPath: metadata.name}\ntargets: [{select: {kind: ConfigMap, name: a}, fieldPaths: [data.r], options: {create: true}}]\n",
	"base/kustomization.yaml": "bases: [../deep]\nresources: [b.yaml]\nconfigMapGenerator: [{name: c, files: [f.txt], envs: [f.env]}]\n", "base/f.txt": "f", "base/f.env": "A=b\n", "base/b.yaml": configMap("b"),
	"deep/kustomization.yml": "resources: [d.yaml]\ncomponents: [part]\n", "deep/d.yaml": configMap("d"), "deep/part/Kustomization": component + "resources: [e.yaml]\n", "deep/part/e.yaml": configMap("e"),
	"other/x.yaml": "",
}

func TestPlanListsEveryFileThatAFieldNames(t *testing.T) {
	t.Parallel()
	plan, err := build.NewPlan(t.Context(), tree(everyReference), "app", fleet.BuildSpec{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := build.Build(t.Context(), tree(everyReference), "app", fleet.BuildSpec{}); err != nil {
		t.Fatal(err) // else it may not have come to all of them
	}
	var listed []string
	for _, input := range plan.Inputs {
		if _, is := everyReference[input]; is {
			listed = append(listed, input)
		}
	}
	want := slices.DeleteFunc(slices.Sorted(maps.Keys(everyReference)), func(name string) bool { return name == "other/x.yaml" })
	if diff := cmp.Diff(want, listed); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	checkLooks(t, everyReference, fleet.BuildSpec{})
}

func TestPlanListsAllThatABuildLooksAt(t *testing.T) {
	t.Parallel()
	for name, files := range oracleTrees {
		all := maps.Clone(components)
		maps.Copy(all, files)
		t.Run(name, func(t *testing.T) { checkLooks(t, all, oracleSpecs["everything"]) })
	}
	rapid.Check(t, func(rt *rapid.T) {
		tree := buildtest.Random().Draw(rt, "tree")
		checkLooks(rt, tree.Files, tree.Spec)
	})
}

// checkLooks says what a build of the directory app looks at that its plan does not list, and the other way round where no
// plugin is configured, which may name files, or fields of objects.
func checkLooks(t interface {
	Errorf(string, ...any)
}, files map[string]string, spec fleet.BuildSpec) {
	plan, err := build.NewPlan(context.Background(), tree(files), "app", spec)
	if err != nil {
		return
	}
	recorder := buildtest.NewRecorder(tree(files))
	_, err = build.Build(context.Background(), recorder, "app", spec)
	looks := recorder.Inputs()
	for _, look := range looks {
		if !slices.Contains(plan.Inputs, look) {
			t.Errorf("the build looks at %s, which its plan does not list: %q", look, plan.Inputs)
		}
	}
	if err == nil && plan.Class != build.ClassKustomize && len(looks) != len(plan.Inputs) {
		t.Errorf("the plan lists %q, the build looks at %q", plan.Inputs, looks)
	}
}

func TestWhatAPlanDoesNotListChangesNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		drawn := buildtest.Random().Draw(rt, "tree")
		files, spec := drawn.Files, drawn.Spec
		files["beside.yaml"], files["app/unused.txt"], files["base/unused.yaml"] = "", "", configMap("u")
		plan, err := build.NewPlan(context.Background(), tree(files), "app", spec)
		if err != nil {
			return
		}
		want, failure := build.Build(context.Background(), tree(files), "app", spec)
		name := rapid.SampledFrom(append(slices.Sorted(maps.Keys(files)), "app/new.txt", "new/kustomization.yaml", "base/other/x.yaml")).Draw(rt, "file")
		_, there := files[name]
		listed := slices.Contains(plan.Inputs, name)
		change(rt, files, name)
		if _, still := files[name]; still != there { // the directories above it are others, too
			for dir := path.Dir(name); !listed && dir != "."; dir = path.Dir(dir) {
				listed = slices.Contains(plan.Inputs, dir) || slices.Contains(plan.Inputs, dir+"/")
			}
		}
		changed, err := build.NewPlan(context.Background(), tree(files), "app", spec)
		same := err == nil && changed.Key == plan.Key
		switch {
		case !listed && !same:
			rt.Errorf("%s is not listed, and its change is another plan: %v, inputs %q", name, err, plan.Inputs)
		case slices.Contains(plan.Inputs, name) && same:
			rt.Errorf("%s is listed, and its change leaves the key", name)
		case same:
			got, err := build.Build(context.Background(), tree(files), "app", spec)
			if diff := cmp.Diff(want, got); diff != "" || (err == nil) != (failure == nil) {
				rt.Errorf("%s is not listed, and its change is another output: %v (-before +after):\n%s", name, err, diff)
			}
		}
	})
}

// change makes the file another, or has it come or go.
func change(t *rapid.T, files map[string]string, name string) {
	if content, there := files[name]; there && rapid.Bool().Draw(t, "goes") {
		delete(files, name)
	} else {
		files[name] = content + rapid.SampledFrom([]string{"# a comment\n", "a: b\n", "x: [\n"}).Draw(t, "more")
	}
}

// A plan that is found by those before it is the one that would be made, and nothing is looked at that this one does not
// list: it would be taken for an input.
func TestAPlanFoundByThoseBeforeIsTheOneThatWouldBeMade(t *testing.T) {
	t.Parallel()
	found := 0
	rapid.Check(t, func(rt *rapid.T) {
		drawn := buildtest.Random().Draw(rt, "tree")
		files, spec := drawn.Files, drawn.Spec
		files["beside.yaml"] = ""
		digests := rapid.Bool().Draw(rt, "digests")
		builder := build.NewBuilder(build.Options{})
		for range rapid.IntRange(2, 5).Draw(rt, "trees") {
			fsys := build.FileSystem(tree(files))
			if digests {
				fsys = failingRead{failing{MapFS: tree(files)}}
			}
			recorder := buildtest.NewRecorder(fsys)
			want, failure := build.NewPlan(context.Background(), fsys, "app", spec)
			got, err := builder.Plan(context.Background(), recorder, "app", spec)
			if (err == nil) != (failure == nil) {
				rt.Fatalf("error %v, want %v", err, failure)
			}
			if err == nil {
				if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(build.Plan{})); diff != "" {
					rt.Errorf("plan (-made +found):\n%s", diff)
				}
				if diff := cmp.Diff(want.Inputs, recorder.Inputs()); diff != "" {
					rt.Errorf("looks (-made +found):\n%s", diff)
				}
				if out, err := builder.Run(context.Background(), got); err == nil {
					objects, err := build.Build(context.Background(), tree(files), "app", spec)
					if diff := cmp.Diff(objects, out.Objects); diff != "" || err != nil {
						rt.Errorf("objects of the plan: %v (-want +got):\n%s", err, diff)
					}
				}
			}
			found += builder.Repeated()
			change(rt, files, rapid.SampledFrom(append(slices.Sorted(maps.Keys(files)), "app/new.yaml")).Draw(rt, "file"))
		}
	})
	if found == 0 {
		t.Error("no plan was found")
	}
}

// failureText is an error without the addresses that kustomize prints in some.
func failureText(err error) string { return address.ReplaceAllString(fmt.Sprint(err), "") }

var address = regexp.MustCompile("0x[0-9a-f]+")

// A plan of digests has the key of one of contents, and reads no more than the kustomization files.
func TestPlanReadsOnlyKustomizationFilesWhereDigestsAreKnown(t *testing.T) {
	t.Parallel()
	files := map[string]string{
		"app/kustomization.yaml": "resources: [../base]\nnamePrefix: p-\nconfigMapGenerator: [{name: c, files: [f.txt]}]\n", "app/f.txt": "f",
		"base/kustomization.yaml": "resources: [a.yaml, b.yaml]\n", "base/a.yaml": configMap("a"), "base/b.yaml": configMap("b"),
	}
	var read []string
	byDigest := map[fleet.Digest]string{}
	for name, content := range files {
		byDigest[fleet.DigestOf([]byte(content))] = name
	}
	fsys := artifact.NewFS(artifactTree(t, files), func(digest fleet.Digest) ([]byte, error) {
		read = append(read, byDigest[digest])
		return []byte(files[byDigest[digest]]), nil
	})
	plan, err := build.NewPlan(t.Context(), fsys, "app", fleet.BuildSpec{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"app/kustomization.yaml", "base/kustomization.yaml"}, read); diff != "" {
		t.Errorf("read (-want +got):\n%s", diff)
	}
	other, err := build.NewPlan(t.Context(), tree(files), "app", fleet.BuildSpec{})
	if err != nil || other.Key != plan.Key {
		t.Errorf("of contents the key is %s, of digests %s; %v", other.Key, plan.Key, err)
	}
	changed := maps.Clone(files)
	changed["base/a.yaml"] += "data: {}\n"
	if other, err = build.NewPlan(t.Context(), tree(changed), "app", fleet.BuildSpec{}); err != nil || other.Key == plan.Key {
		t.Errorf("a changed resource leaves the key; %v", err)
	}
	for name, again := range map[string]struct {
		dir  string
		spec fleet.BuildSpec
	}{"directory": {"base", fleet.BuildSpec{}}, "spec": {"app", fleet.BuildSpec{NameSuffix: "-s"}}} {
		if other, err = build.NewPlan(t.Context(), tree(files), again.dir, again.spec); err != nil || other.Key == plan.Key {
			t.Errorf("another %s leaves the key; %v", name, err)
		}
	}
}

func TestTreesHaveTheSameShapeWhoseFilesSetTheSameFields(t *testing.T) {
	t.Parallel()
	files := map[string]string{"app/kustomization.yaml": "resources: [../base]\nnamePrefix: p-\n", "base/kustomization.yaml": "resources: [a.yaml]\n", "base/a.yaml": configMap("a"), "base/b.yaml": configMap("b")}
	shape := func(changes map[string]string) fleet.Digest {
		t.Helper()
		changed := maps.Clone(files)
		maps.Copy(changed, changes)
		plan, err := build.NewPlan(t.Context(), tree(changed), "app", fleet.BuildSpec{})
		if err != nil {
			t.Fatal(err)
		}
		return plan.Shape
	}
	before := shape(nil)
	for name, tc := range map[string]struct {
		changes map[string]string
		same    bool
	}{
		"another prefix":   {map[string]string{"app/kustomization.yaml": "resources: [../base]\nnamePrefix: q-\n"}, true},
		"another resource": {map[string]string{"base/kustomization.yaml": "resources: [a.yaml, b.yaml]\n"}, true},
		"another content":  {map[string]string{"base/a.yaml": configMap("c")}, true},
		"another field":    {map[string]string{"base/kustomization.yaml": "resources: [a.yaml]\nnamespace: x\n"}, false},
		"another base":     {map[string]string{"app/kustomization.yaml": "resources: [../base, ../more]\nnamePrefix: p-\n", "more/kustomization.yaml": "resources: []\n"}, false},
	} {
		if got := shape(tc.changes); (got == before) != tc.same {
			t.Errorf("%s: same shape %t, want %t", name, got == before, tc.same)
		}
	}
}
