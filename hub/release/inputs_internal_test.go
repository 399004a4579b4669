package release

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
)

func TestWhatABuildLookedAtComesBackAsItWasKept(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		inputs := rapid.SliceOfN(rapid.StringMatching(`([abé]{1,3}/){0,3}[abé]{0,3}`), 0, 20).Draw(t, "inputs")
		slices.Sort(inputs)
		got, err := decodeInputs(encodeInputs(inputs))
		if err != nil || !slices.Equal(got, inputs) {
			t.Fatalf("%q came back as %q, error %v", inputs, got, err)
		}
	})
}

func TestBrokenInputsAreAnError(t *testing.T) {
	t.Parallel()
	good := encodeInputs([]string{"deploy", "deploy/", "deploy/a.yaml"})
	for n := range good {
		if got, err := decodeInputs(good[:n]); err == nil {
			t.Errorf("the first %d bytes are %q", n, got)
		}
	}
	if got, err := decodeInputs(append(bytes.Clone(good), 'x')); err == nil {
		t.Errorf("a byte too many is %q", got)
	}
}

func TestInputsOutOfBoundsAreNotKept(t *testing.T) {
	t.Parallel()
	var many []string
	for i := range 200_000 {
		many = append(many, fmt.Sprintf("d/%x", fleet.DigestOf(fmt.Append(nil, i))))
	}
	long := slices.Repeat([]string{strings.Repeat("d/", 2000)}, 10_000)
	for name, inputs := range map[string][]string{"many": many, "long": long} {
		if encoded := encodeInputs(inputs); encoded != nil {
			t.Errorf("%s: %d bytes are kept", name, len(encoded))
		}
	}
}

func TestTreesAreLetGoThatWereNotUsedForLongest(t *testing.T) {
	t.Parallel()
	held := &trees{}
	hold := func(n, files int) {
		held.hold(heldTree{fleet.DigestOf(fmt.Append(nil, n)), &artifact.Tree{Files: make([]artifact.File, files)}})
	}
	is := func(n int) bool { return held.known(fleet.DigestOf(fmt.Append(nil, n))) != nil }
	for n := range maxTrees {
		hold(n, 1)
	}
	if !is(0) {
		t.Fatal("a Tree within the bounds is gone")
	}
	hold(maxTrees, 1)
	if !is(0) || is(1) || !is(2) || !is(maxTrees) || len(held.held) != maxTrees {
		t.Errorf("%d Trees are held, and not those used last", len(held.held))
	}
	hold(-1, maxTreeFiles-1)
	if len(held.held) != 2 || !is(-1) || !is(maxTrees) {
		t.Errorf("%d Trees are held beside a large one", len(held.held)-1)
	}
	hold(-2, maxTreeFiles+1)
	if len(held.held) != 1 || !is(-2) {
		t.Errorf("a Tree over the bound is not the only one held: %d", len(held.held))
	}
}

func TestWhatTheAppsOwnBuildLookedAtIsTriedFirst(t *testing.T) {
	t.Parallel()
	app := declaredApp{Key: fleet.Key{Home: fleet.HubHome, Kind: "Kustomization", Namespace: "apps", Name: "app"}, spec: flux.Kustomization{}, source: &declaredSource{}}
	app.source.state.TreeBlob = fleet.DigestOf([]byte("tree"))
	tree, err := artifact.NewTree([]artifact.File{{Path: "own"}, {Path: "other-0"}})
	if err != nil {
		t.Fatal(err)
	}
	var found []fleet.BuildInputs
	for i := range 5 {
		other := app.Key
		other.Name = fmt.Sprint("other-", i)
		found = append(found, fleet.BuildInputs{App: other, Recipe: recipe(app), Inputs: encodeInputs([]string{other.Name})})
	}
	found = append(found, fleet.BuildInputs{App: app.Key, Recipe: recipe(app), Inputs: encodeInputs([]string{"own"})})
	keys, err := newLooks(found).keys(app, tree)
	want := []fleet.Digest{
		keyOf(app, tree, []string{"own"}), keyOf(app, tree, []string{"other-0"}), keyOf(app, tree, []string{"other-1"}), keyOf(app, tree, []string{"other-2"}), attempt(app),
	}
	if err != nil || !slices.Equal(keys, want) {
		t.Errorf("keys %v, error %v; want %v", keys, err, want)
	}
}

func TestInputsThatCannotBeReadAreLeftAside(t *testing.T) {
	t.Parallel()
	app := declaredApp{Key: fleet.Key{Home: fleet.HubHome, Kind: "Kustomization", Namespace: "apps", Name: "app"}, spec: flux.Kustomization{}, source: &declaredSource{}}
	tree, err := artifact.NewTree([]artifact.File{{Path: "other"}})
	if err != nil {
		t.Fatal(err)
	}
	other := app.Key
	other.Name = "other"
	keys, err := newLooks([]fleet.BuildInputs{
		{App: app.Key, Recipe: recipe(app), Inputs: []byte("broken")},
		{App: other, Recipe: recipe(app), Inputs: encodeInputs([]string{"other"})},
	}).keys(app, tree)
	if want := []fleet.Digest{keyOf(app, tree, []string{"other"}), attempt(app)}; !slices.Equal(keys, want) {
		t.Errorf("keys %v, want %v", keys, want)
	}
	if !errors.Is(err, errInputs) {
		t.Errorf("error %v", err)
	}
}

func TestRecipeIsAllButTheFiles(t *testing.T) {
	t.Parallel()
	app := declaredApp{Key: fleet.Key{Home: fleet.HubHome, Kind: "Kustomization", Namespace: "apps", Name: "app"}, spec: flux.Kustomization{}}
	seen := map[fleet.Digest]bool{recipe(app): true}
	other := app
	other.Key.Namespace = "tenant"
	apps := []declaredApp{other}
	other = app
	other.spec = flux.Kustomization{Path: "base"}
	apps = append(apps, other)
	for _, spec := range []fleet.BuildSpec{
		{TargetNamespace: "a"}, {NamePrefix: "a"}, {NameSuffix: "a"}, {Patches: []fleet.Patch{{Patch: "a"}}}, {Images: []fleet.Image{{Name: "a"}}},
		{Components: []string{"a"}}, {IgnoreMissingComponents: true}, {BuildMetadata: []string{"a"}},
	} {
		other = app
		other.spec = flux.Kustomization{BuildSpec: spec}
		apps = append(apps, other)
	}
	for _, spec := range []fleet.ReleaseSpec{
		{PostBuild: &fleet.PostBuild{}}, {Decryption: &fleet.Decryption{}}, {CommonMetadata: &fleet.CommonMetadata{Labels: map[string]string{"a": "b"}}},
	} {
		other = app
		other.spec = flux.Kustomization{ReleaseSpec: spec}
		apps = append(apps, other)
	}
	for _, other := range apps {
		if r := recipe(other); seen[r] {
			t.Errorf("the same recipe with %s %+v", other.Key, other.spec)
		} else {
			seen[r] = true
		}
	}
	other = app
	other.Key.Name = "other"
	if recipe(other) != recipe(app) {
		t.Error("the App's name is in it")
	}
}
