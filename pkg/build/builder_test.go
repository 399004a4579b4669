package build_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"flotilla.dev/flotilla/pkg/build"
	"flotilla.dev/flotilla/pkg/fleet"
)

// overlaid is a tree of two objects that the engine class builds.
var overlaid = map[string]string{
	"app/kustomization.yaml": "resources: [../base]\nnamePrefix: p-\n", "base/kustomization.yaml": "resources: [a.yaml, s.yaml]\n",
	"base/a.yaml": configMap("a"), "base/s.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: team}\nstringData: {password: canary}\n",
}

// builderBundle is a Builder whose engine answers as it is told, and counts.
type builderBundle struct {
	*build.Builder
	t      *testing.T
	files  map[string]string
	answer func(want [][]byte) ([][]byte, error)
	built  int
	asked  []string
}

func newBuilderBundle(t *testing.T, options build.Options) *builderBundle {
	t.Helper()
	b := &builderBundle{t: t, files: maps.Clone(overlaid), answer: func(want [][]byte) ([][]byte, error) { return want, nil }}
	options.Kustomizing = func(_ *build.Plan, out build.Output) { b.asked = append(b.asked, out.Reason) }
	b.Builder = build.NewBuilder(options)
	b.Use(func(context.Context, filesys.FileSystem, string) ([][]byte, error) {
		b.built++
		return b.answer(b.want())
	})
	return b
}

// want is what kustomize makes of the files, comments aside.
func (b *builderBundle) want() [][]byte {
	return [][]byte{[]byte(configMap("p-a")), []byte("apiVersion: v1\nkind: Secret\nmetadata:\n  name: p-s\n  namespace: team\nstringData:\n  password: canary\n")}
}

func (b *builderBundle) build() (build.Output, error) {
	return b.Build(b.t.Context(), tree(b.files), "app", fleet.BuildSpec{})
}

func (b *builderBundle) mustBuild() build.Output {
	b.t.Helper()
	out, err := b.build()
	if err != nil {
		b.t.Fatal(err)
	}
	return out
}

// more makes the next build another one.
func (b *builderBundle) more() { b.files["base/s.yaml"] += "# more\n" }

func TestTheEnginesOutputIsTheBuilds(t *testing.T) {
	t.Parallel()
	b := newBuilderBundle(t, build.Options{})
	out := b.mustBuild()
	if diff := cmp.Diff(b.want(), out.Objects); diff != "" || out.Way != build.ClassEngine || out.Checked || out.Found {
		t.Errorf("%+v (-want +got):\n%s", out, diff)
	}
	if !strings.HasPrefix(out.Reason, "app/kustomization.yaml: namePrefix: ") {
		t.Errorf("reason %q", out.Reason)
	}
	want, err := build.Build(t.Context(), tree(b.files), "app", fleet.BuildSpec{})
	if diff := cmp.Diff(want, out.Objects); diff != "" || err != nil {
		t.Errorf("the engine of this test is not as kustomize: %v\n%s", err, diff)
	}
}

// The engine itself is tried on more trees in its own package; here it is what a spec and a scan make of them.
func TestABuilderPrintsWhatBuildPrints(t *testing.T) {
	t.Parallel()
	builder := build.NewBuilder(build.Options{})
	ways := map[build.Class]int{}
	check := func(t interface{ Errorf(string, ...any) }, files map[string]string, spec fleet.BuildSpec) {
		want, failure := build.Build(context.Background(), tree(files), "app", spec)
		out, err := builder.Build(context.Background(), tree(files), "app", spec)
		if diff := cmp.Diff(want, out.Objects); diff != "" || failureText(err) != failureText(failure) {
			t.Errorf("%s, because of %q: %v (-kustomize +Builder):\n%s", out.Way, out.Reason, err, diff)
		}
		if err == nil {
			ways[out.Way]++
		}
	}
	for _, files := range oracleTrees {
		for _, name := range []string{"nothing", "everything"} {
			all := maps.Clone(components)
			maps.Copy(all, files)
			check(t, all, oracleSpecs[name])
		}
	}
	check(t, everyReference, fleet.BuildSpec{})
	rapid.Check(t, func(rt *rapid.T) { check(rt, drawTree(rt), drawSpec(rt)) })
	t.Logf("built: %v", ways)
	if ways[build.ClassEngine] < ways[build.ClassKustomize] || ways[build.ClassPlain] == 0 || ways[build.ClassKustomize] == 0 {
		t.Errorf("built: %v; want all ways, and most by the engine", ways)
	}
}

// Whatever the engine does, kustomize's result or error is the answer.
func TestWhatTheEngineDoesNotBuildKustomizeBuilds(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func([][]byte) ([][]byte, error){
		"doubt": func([][]byte) ([][]byte, error) { return nil, errors.New("an odd node") },
		"panic": func([][]byte) ([][]byte, error) { panic("an odd node") },
	} {
		b := newBuilderBundle(t, build.Options{CheckEvery: 1})
		b.answer = answer
		out := b.mustBuild()
		if diff := cmp.Diff(b.want(), out.Objects); diff != "" || out.Way != build.ClassKustomize || out.Checked || !strings.Contains(out.Reason, "an odd node") {
			t.Errorf("%s: %+v (-want +got):\n%s", name, out, diff)
		}
		if len(b.asked) != 1 || b.asked[0] != out.Reason {
			t.Errorf("%s: told %q before kustomize built, want %q", name, b.asked, out.Reason)
		}
		delete(b.files, "base/a.yaml")
		if out, err := b.build(); err == nil || !strings.Contains(err.Error(), "base/kustomization.yaml: resources: a.yaml: no such file") || len(out.Objects) > 0 {
			t.Errorf("%s: %v, want kustomize's error", name, err)
		}
		b.files["base/a.yaml"] = "a: [\n"
		_, want := build.Build(t.Context(), tree(b.files), "app", fleet.BuildSpec{})
		if _, err := b.build(); err == nil || err.Error() != want.Error() {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
}

func TestTheEngineIsNotAskedForWhatOnlyKustomizeBuilds(t *testing.T) {
	t.Parallel()
	b := newBuilderBundle(t, build.Options{CheckEvery: 1})
	b.files["crd.json"] = "{}"
	b.files["app/kustomization.yaml"] += "crds: [../crd.json]\n"
	if out := b.mustBuild(); b.built != 0 || out.Way != build.ClassKustomize || out.Checked || len(out.Objects) != 2 || !strings.HasPrefix(out.Reason, "app/kustomization.yaml: crds: ") {
		t.Errorf("%d builds by the engine, %+v", b.built, out)
	}
	b.files["app/kustomization.yaml"] = "resources: [../base]\nsecretGenerator: [{name: s, envs: [s.env]}]\n"
	b.files["app/s.env"] = sopsDotenv
	var encrypted *build.EncryptedError
	if _, err := b.build(); !errors.As(err, &encrypted) || b.built != 0 {
		t.Errorf("%d builds by the engine, error %v", b.built, err)
	}
}

// A file system's error, the end of the context and the bounds of a build are no doubts.
func TestFailuresThatAreNotTheEnginesAreNotKustomizesToo(t *testing.T) {
	t.Parallel()
	b := newBuilderBundle(t, build.Options{})
	broken := errors.New("the store is away")
	b.Use(func(_ context.Context, fsys filesys.FileSystem, dir string) ([][]byte, error) {
		_, err := fsys.ReadFile(dir + "/../base/a.yaml")
		return nil, err
	})
	plan, err := build.NewPlan(t.Context(), failingRead{failing{tree(b.files), "base/a.yaml", broken}}, "app", fleet.BuildSpec{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Run(t.Context(), plan); !errors.Is(err, broken) || errors.Is(err, fleet.ErrInvalid) {
		t.Errorf("error %v, want the file system's", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	b.Use(func(context.Context, filesys.FileSystem, string) ([][]byte, error) {
		cancel()
		return nil, errors.New("canceled")
	})
	if _, err := b.Build(ctx, tree(b.files), "app", fleet.BuildSpec{}); !errors.Is(err, context.Canceled) || errors.Is(err, fleet.ErrInvalid) {
		t.Errorf("error %v, want that of the context", err)
	}
	b.Use(func(context.Context, filesys.FileSystem, string) ([][]byte, error) {
		return make([][]byte, build.MaxObjects+1), nil
	})
	if _, err := b.build(); !errors.Is(err, fleet.ErrInvalid) || !strings.Contains(err.Error(), "objects; 20000 are allowed") {
		t.Errorf("error %v, want one of the bound", err)
	}
	if len(b.asked) > 0 {
		t.Errorf("kustomize was asked: %q", b.asked)
	}
}

// failingRead knows digests, so that a plan reads no resources.
type failingRead struct{ failing }

func (f failingRead) Digest(name string) (fleet.Digest, bool) {
	file, found := f.MapFS[name]
	if !found {
		return fleet.Digest{}, false
	}
	return fleet.DigestOf(file.Data), true
}

func TestABuildOfTheSameInputIsKept(t *testing.T) {
	t.Parallel()
	b := newBuilderBundle(t, build.Options{CheckEvery: 1})
	first := b.mustBuild()
	b.files["elsewhere.yaml"] = "x"
	again := b.mustBuild()
	if b.built != 1 || !again.Found || again.Checked || again.Way != first.Way || cmp.Diff(first.Objects, again.Objects) != "" {
		t.Errorf("%d builds; %+v", b.built, again)
	}
	b.more()
	if b.mustBuild(); b.built != 2 {
		t.Errorf("%d builds of two inputs", b.built)
	}
}

func TestWhatIsKeptIsBounded(t *testing.T) {
	t.Parallel()
	b := newBuilderBundle(t, build.Options{CacheBytes: 4 << 10})
	inputs := []string{}
	for i := range 10 {
		b.more()
		inputs = append(inputs, b.files["base/s.yaml"])
		b.mustBuild()
		if b.built != i+1 {
			t.Fatalf("%d builds of %d inputs", b.built, i+1)
		}
	}
	b.files["base/s.yaml"] = inputs[9]
	if b.mustBuild(); b.built != 10 {
		t.Error("the newest was not kept")
	}
	b.files["base/s.yaml"] = inputs[0]
	if b.mustBuild(); b.built != 11 {
		t.Error("the oldest of ten was kept")
	}
}

func TestABuildThatKustomizeRepeatsAndConfirms(t *testing.T) {
	t.Parallel()
	b := newBuilderBundle(t, build.Options{CheckEvery: 1})
	if out := b.mustBuild(); !out.Checked || out.Difference != nil || out.Way != build.ClassEngine {
		t.Errorf("%+v", out)
	}
	checked := 0
	some := newBuilderBundle(t, build.Options{CheckEvery: 3})
	for range 60 {
		some.more()
		if some.mustBuild().Checked {
			checked++
		}
	}
	if checked == 0 || checked == 60 {
		t.Errorf("%d of 60 were checked, want about 20", checked)
	}
	b.answer = func([][]byte) ([][]byte, error) { return make([][]byte, build.MaxChecked+1), nil }
	b.more()
	if out := b.mustBuild(); out.Checked || !out.Skipped {
		t.Errorf("a large one, which takes long: checked %t, skipped %t", out.Checked, out.Skipped)
	}
}

// What was built is told before it is repeated, and counts whatever comes in the way of that.
func TestABuildThatCannotBeRepeatedCounts(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	var told []build.Output
	b := newBuilderBundle(t, build.Options{CheckEvery: 1, Checking: func(_ *build.Plan, out build.Output) {
		told = append(told, out)
		cancel()
	}})
	out, err := b.Build(ctx, tree(b.files), "app", fleet.BuildSpec{})
	if err != nil || out.Checked || !out.Skipped || out.Difference != nil || out.Way != build.ClassEngine || cmp.Diff(b.want(), out.Objects) != "" {
		t.Errorf("%+v, error %v", out, err)
	}
	if len(told) != 1 || cmp.Diff(b.want(), told[0].Objects) != "" || told[0].Way != build.ClassEngine {
		t.Errorf("told %+v", told)
	}
}

func TestADifferenceIsToldAndKustomizeBuildsSuchTreesFromThenOn(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		answer func(want [][]byte) ([][]byte, error)
		what   string
	}{
		"content": {func(o [][]byte) ([][]byte, error) {
			return [][]byte{o[0], bytes.Replace(o[1], []byte("canary"), []byte("canary2"), 1)}, nil
		}, "Secret/team/p-s has another content"},
		"missing": {func(o [][]byte) ([][]byte, error) { return o[:1], nil }, "Secret/team/p-s is missing (1 objects instead of 2)"},
		"more":    {func(o [][]byte) ([][]byte, error) { return append(o, []byte(configMap("b"))), nil }, "ConfigMap/-/b should not be there (3 objects instead of 2)"},
		"order":   {func(o [][]byte) ([][]byte, error) { return [][]byte{o[1], o[0]}, nil }, "Secret/team/p-s is in the place of ConfigMap/-/p-a"},
	} {
		b := newBuilderBundle(t, build.Options{CheckEvery: 1})
		b.answer = tc.answer
		out := b.mustBuild()
		if out.Difference == nil || out.Difference.What != tc.what || out.Difference.Dir != "app" || strings.Contains(fmt.Sprint(*out.Difference), "canary") {
			t.Fatalf("%s: difference %+v, want %q", name, out.Difference, tc.what)
		}
		if diff := cmp.Diff(b.want(), out.Objects); diff != "" || out.Way != build.ClassKustomize {
			t.Errorf("%s: %s built (-want +got):\n%s", name, out.Way, diff)
		}
		b.more()
		if out = b.mustBuild(); b.built != 1 || out.Way != build.ClassKustomize || out.Difference != nil {
			t.Errorf("%s: the next one: %d builds by the engine, %+v", name, b.built, out)
		}
		b.files["base/kustomization.yaml"] += "nameSuffix: -s\n" // another shape
		if b.mustBuild(); b.built != 2 {
			t.Errorf("%s: the engine was not asked for a tree of another shape", name)
		}
	}
}

func TestABuildThatKustomizeRefusesIsRefused(t *testing.T) {
	t.Parallel()
	b := newBuilderBundle(t, build.Options{CheckEvery: 1})
	b.files["base/a.yaml"] = "a: [\n"
	out, err := b.build()
	if err == nil || !strings.Contains(err.Error(), "a.yaml") || !out.Checked || out.Difference == nil || out.Difference.What != "kustomize refuses what was built" || len(out.Objects) > 0 {
		t.Errorf("%+v, error %v", out, err)
	}
}

// Others tell a new Builder what to distrust: what it kept of such trees may be wrong.
func TestADistrustedShapeIsNotServedFromWhatWasKept(t *testing.T) {
	t.Parallel()
	b := newBuilderBundle(t, build.Options{})
	b.mustBuild()
	plan, err := build.NewPlan(t.Context(), tree(b.files), "app", fleet.BuildSpec{})
	if err != nil {
		t.Fatal(err)
	}
	b.Distrust(plan.Shape)
	if out := b.mustBuild(); out.Found || out.Way != build.ClassKustomize || b.built != 1 {
		t.Errorf("%d builds by the engine, %+v", b.built, out)
	}
}
