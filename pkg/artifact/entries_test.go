package artifact_test

import (
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"flotilla.dev/flotilla/pkg/artifact"
)

func TestEntriesAreThoseOfOneDirectory(t *testing.T) {
	t.Parallel()
	var files []artifact.File
	names := []string{"a", "a-b", "a.b", "a0", "b"}
	for _, top := range names {
		for _, inside := range []string{"x", "a/x", "a-b/x", "a0/x", "a.x/x/x"} {
			files = append(files, file(top+"/"+inside, top+inside))
		}
	}
	files = append(files, file("c", ""), file("a+", ""))
	tree := must(artifact.NewTree(files))
	for _, dir := range []string{".", "a", "a-b", "a0", "b", "a/a.x", "c", "none"} {
		want := map[string]artifact.Entry{}
		for _, f := range files {
			inside := f.Path
			if dir != "." {
				var in bool
				if inside, in = strings.CutPrefix(f.Path, dir+"/"); !in {
					continue
				}
			}
			name, _, isDir := strings.Cut(inside, "/")
			want[name] = artifact.Entry{Name: name, IsDir: isDir}
			if !isDir {
				want[name] = artifact.Entry{Name: name, Digest: f.Digest, Size: f.Size, Mode: f.Mode}
			}
		}
		got := map[string]artifact.Entry{}
		var order []string
		for _, e := range tree.Entries(dir) {
			got[e.Name] = e
			order = append(order, e.Name)
		}
		if diff := cmp.Diff(want, got); diff != "" || !slices.IsSorted(order) || len(order) != len(got) {
			t.Errorf("%s: in the order %q (-want +got):\n%s", path.Clean(dir), order, diff)
		}
	}
}
