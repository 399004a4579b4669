package build_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/build"
	"flotilla.dev/flotilla/pkg/build/buildtest"
	"flotilla.dev/flotilla/pkg/fleet"
)

// What is in the directory itself counts for nothing where only components of the spec have objects, but it has to be
// there.
func TestSubtreeBuildsWhatTheSourceDoes(t *testing.T) {
	t.Parallel()
	const part = component + "secretGenerator: [{name: s, envs: [s.env]}]\n"
	files := map[string]string{"app/readme": "nothing to build", "app/below/readme": "nor here", "part/kustomization.yaml": part, "part/s.env": sopsDotenv, "other": "x"}
	for _, dir := range []string{"app", "./app", "/app/", "app/below", "app/below/../", ".", ""} {
		files := maps.Clone(files)
		spec := fleet.BuildSpec{Components: []string{"../part"}}
		switch dir {
		case ".", "":
			spec.Components = []string{"part"}
			files = map[string]string{"readme": "nothing to build", "part/kustomization.yaml": part, "part/s.env": sopsDotenv}
			files["kustomization.yaml"] = "" // a scan would find the part by itself
		case "app/below":
			spec.Components = []string{"../../part"}
		}
		t.Run(fmt.Sprintf("%q", dir), func(t *testing.T) {
			t.Parallel()
			plain := maps.Clone(files)
			plain["part/s.env"] = "PASSWORD=plain\n"
			want, err := build.Build(t.Context(), tree(plain), dir, spec)
			if err != nil {
				t.Fatal(err)
			}
			whole := artifactTree(t, files)
			blob := func(digest fleet.Digest) ([]byte, error) {
				for _, from := range []map[string]string{files, plain} {
					for _, content := range from {
						if fleet.DigestOf([]byte(content)) == digest {
							return []byte(content), nil
						}
					}
				}
				return nil, nil
			}
			looked := buildtest.NewRecorder(artifact.NewFS(whole, blob))
			_, err = build.Build(t.Context(), looked, dir, spec)
			var encrypted *build.EncryptedError
			if !errors.As(err, &encrypted) {
				t.Fatal(err)
			}
			subtree, err := build.DecodeSubtree(build.NewSubtree(whole, dir, spec, looked.Inputs(), encrypted).Encode())
			if err != nil {
				t.Fatal(err)
			}
			if slices.ContainsFunc(subtree.Files, func(file build.SubtreeFile) bool { return files[file.Path] == "nothing to build" }) {
				t.Error("a file that the build does not look at travels")
			}
			for i, file := range subtree.Files { // as who has the key makes them
				content := []byte(plain[file.Path])
				subtree.Files[i].Digest, subtree.Files[i].Size = fleet.DigestOf(content), int64(len(content))
			}
			small, err := subtree.Tree()
			if err != nil {
				t.Fatal(err)
			}
			got, err := build.Build(t.Context(), artifact.NewFS(small, blob), subtree.Path, subtree.Spec)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("objects (-of the source +of the sub-tree):\n%s", diff)
			}
		})
	}
}
