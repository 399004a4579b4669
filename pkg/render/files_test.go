package render_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/render"
)

// counting has the job say which contents were asked for, by digest.
func counting(job render.Job) (render.Job, func() []fleet.Digest) {
	var mu sync.Mutex
	var asked []fleet.Digest
	blob := job.Blob
	job.Blob = func(ctx context.Context, digest fleet.Digest) ([]byte, error) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, digest)
		return blob(ctx, digest)
	}
	return job, func() []fleet.Digest {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(asked)
	}
}

func TestAWorkerAsksForTheContentsThatItDoesNotHold(t *testing.T) {
	t.Parallel()
	pool := start(t, render.Config{Workers: 1})
	files := workloads(100, true)
	build := func(files map[string]string) []fleet.Digest {
		t.Helper()
		job, asked := counting(newJob("a", files))
		job.Path = "app"
		result, err := pool.Build(t.Context(), job)
		if err != nil || len(result.Objects) != 100 {
			t.Fatalf("%d objects, %v", len(result.Objects), err)
		}
		if !slices.Contains(result.Inputs, "base/d7.yaml") || slices.Contains(result.Inputs, "base/README.md") {
			t.Errorf("inputs %q", result.Inputs)
		}
		return asked()
	}
	files["base/README.md"] = "1"
	if asked := build(files); len(asked) != 102 {
		t.Errorf("the first build asked for %d contents, want those of 102 files", len(asked))
	}
	if asked := build(files); len(asked) != 0 {
		t.Errorf("an unchanged tree: %d contents were asked for", len(asked))
	}
	files["base/d7.yaml"] += "# changed\n"
	files["base/README.md"] = "2"
	if asked := build(files); !slices.Equal(asked, []fleet.Digest{fleet.DigestOf([]byte(files["base/d7.yaml"]))}) {
		t.Errorf("one changed file: %d contents were asked for", len(asked))
	}
}

func TestABuildSeesWhatIsThereHoweverMuchThatIs(t *testing.T) {
	t.Parallel()
	files := map[string]string{"few/f00001": "1", "many/sub/a": ""}
	for i := range 10_001 {
		files[fmt.Sprintf("many/f%05d", i)] = "1"
	}
	pool := start(t, render.Config{Workers: 1})
	result, err := pool.BuildHook(t.Context(), newJob("a", files), "survey")
	if err != nil {
		t.Fatal(err)
	}
	is := "file true " + fleet.DigestOf([]byte("1")).String()
	want := []string{
		".: directory false ", "few: directory false ", "few/f00001: " + is, "few/none: absent false ", "few/f00001/x: absent false ",
		"many: directory false ", "many/f00001: " + is, "many/sub: directory false ", "many/none: absent false ", "none/none: absent false ",
		"few/: 1 true <nil>", "many/: 10002 true <nil>", "none/: 0 true readdir none: file does not exist", "few/f00001/: 0 true readdir few/f00001: it is a file",
	}
	var got []string
	for _, line := range result.Objects {
		got = append(got, string(line))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	looked := []string{".", "few", "few/", "few/f00001", "few/f00001/", "few/f00001/x", "few/none", "many", "many/", "many/f00001", "many/none", "many/sub", "none", "none/", "none/none"}
	if diff := cmp.Diff(looked, result.Inputs); diff != "" {
		t.Errorf("inputs (-want +got):\n%s", diff)
	}
}

func TestABuildThatCrashesHasLookedAtAllThatItCould(t *testing.T) {
	t.Parallel()
	pool := start(t, render.Config{Workers: 1})
	result, err := pool.BuildHook(t.Context(), newJob("a", map[string]string{"a.yaml": "1", "b.yaml": "2", "sub/c.yaml": "3"}), "panic")
	if err == nil || !strings.Contains(err.Error(), "on purpose") {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"./", "a.yaml", "b.yaml", "sub"}, result.Inputs); diff != "" {
		t.Errorf("inputs (-want +got):\n%s", diff)
	}
}
