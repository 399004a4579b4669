package build_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/build"
	"flotilla.dev/flotilla/pkg/build/buildtest"
	"flotilla.dev/flotilla/pkg/build/engine"
	"flotilla.dev/flotilla/pkg/fleet"
)

func TestKeyChangesExactlyWithWhatTheBuildLookedAt(t *testing.T) {
	t.Parallel()
	files := map[string]string{
		"app/kustomization.yaml":  "resources: [../base, ../plain.yaml]\n",
		"base/kustomization.yaml": "resources: [a.yaml]\n",
		"base/a.yaml":             configMap("a"),
		"base/unused.yaml":        configMap("u"),
		"plain.yaml":              configMap("p"),
		"other/b.yaml":            configMap("b"),
	}
	recorder := buildtest.NewRecorder(tree(files))
	if _, err := build.Build(t.Context(), recorder, "app", fleet.BuildSpec{}); err != nil {
		t.Fatal(err)
	}
	inputs := recorder.Inputs()
	key := build.Key(artifactTree(t, files), inputs)
	for name, tc := range map[string]struct {
		change map[string]string
		same   bool
	}{
		"nothing":                        {nil, true},
		"an unused file":                 {map[string]string{"base/unused.yaml": "x"}, true},
		"another directory":              {map[string]string{"other/c.yaml": "x"}, true},
		"a file beside the base's":       {map[string]string{"base/c.yaml": "x"}, true},
		"a resource":                     {map[string]string{"base/a.yaml": "x"}, false},
		"a kustomization file":           {map[string]string{"base/kustomization.yaml": "x"}, false},
		"a second kustomization file":    {map[string]string{"base/kustomization.yml": "x"}, false},
		"a resource becomes a directory": {map[string]string{"plain.yaml": "", "plain.yaml/kustomization.yaml": "x"}, false},
		"a resource goes":                {map[string]string{"base/a.yaml": ""}, false},
	} {
		changed := maps.Clone(files)
		for path, content := range tc.change {
			changed[path] = content
			if content == "" {
				delete(changed, path)
			}
		}
		if got := build.Key(artifactTree(t, changed), inputs); (got == key) != tc.same {
			t.Errorf("%s: same key %t, want %t", name, got == key, tc.same)
		}
	}
}

func TestKeyOfAScannedDirectoryChangesWithItsListing(t *testing.T) {
	t.Parallel()
	files := map[string]string{"app/a.yaml": configMap("a"), "app/sub/b.yaml": configMap("b"), "c.yaml": ""}
	recorder := buildtest.NewRecorder(tree(files))
	if _, err := build.Build(t.Context(), recorder, "app", fleet.BuildSpec{}); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"app", "app/", "app/Kustomization", "app/a.yaml", "app/kustomization.yaml", "app/kustomization.yml", "app/sub/", "app/sub/b.yaml",
	}
	if diff := cmp.Diff(want, recorder.Inputs()); diff != "" {
		t.Errorf("inputs (-want +got):\n%s", diff)
	}
	key := build.Key(artifactTree(t, files), recorder.Inputs())
	files["app/sub/new.yaml"] = configMap("n")
	if build.Key(artifactTree(t, files), recorder.Inputs()) == key {
		t.Error("a new file changes nothing")
	}
}

func artifactTree(t testing.TB, files map[string]string) *artifact.Tree {
	t.Helper()
	var list []artifact.File
	for path, content := range files {
		list = append(list, artifact.File{Path: path, Digest: fleet.DigestOf([]byte(content)), Size: int64(len(content))})
	}
	tree, err := artifact.NewTree(list)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func TestTheVersionSaysWhichEngineBuilds(t *testing.T) {
	t.Parallel()
	if !strings.Contains(build.Version, engine.Version) {
		t.Errorf("%q does not name %q: what an older engine made would be found", build.Version, engine.Version)
	}
}
