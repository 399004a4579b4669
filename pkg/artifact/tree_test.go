package artifact_test

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/artifact/artifacttest"
	"flotilla.dev/flotilla/pkg/fleet"
)

func TestMemoryIsAStore(t *testing.T) {
	t.Parallel()
	artifacttest.RunStore(t, func(*testing.T) artifact.Store { return &artifact.Memory{} })
}

func TestMemoryIsAKeeper(t *testing.T) {
	t.Parallel()
	artifacttest.RunKeeper(t, func(*testing.T) artifact.Keeper { return &artifact.Memory{} })
}

func TestTreeDigestDependsOnFilesAlone(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		files := drawFiles(t)
		tree := must(artifact.NewTree(append([]artifact.File{}, files...)))
		rand.Shuffle(len(files), func(i, j int) { files[i], files[j] = files[j], files[i] })
		if again := must(artifact.NewTree(files)); again.Digest() != tree.Digest() {
			t.Errorf("the order of files changed the digest")
		}
	})
}

func TestTreeDigestChangesWithEveryPartOfAFile(t *testing.T) {
	t.Parallel()
	base := []artifact.File{file("a/b/c.yaml", "1"), file("a/d.yaml", "2"), file("e.yaml", "3")}
	seen := map[fleet.Digest]string{must(artifact.NewTree(base)).Digest(): "the base"}
	for name, change := range map[string]func(*artifact.File){
		"content":   func(f *artifact.File) { f.Digest = fleet.DigestOf([]byte("other")) },
		"mode":      func(f *artifact.File) { f.Mode = artifact.Executable },
		"name":      func(f *artifact.File) { f.Path = "a/b/x.yaml" },
		"directory": func(f *artifact.File) { f.Path = "a/x/c.yaml" },
		"depth":     func(f *artifact.File) { f.Path = "a/b/c.yaml/d" },
		"moved up":  func(f *artifact.File) { f.Path = "a/b.c.yaml" },
	} {
		files := append([]artifact.File{}, base...)
		change(&files[0])
		digest := must(artifact.NewTree(files)).Digest()
		if other, same := seen[digest]; same {
			t.Errorf("%s has the digest of %s", name, other)
		}
		seen[digest] = name
	}
}

func TestSubTreeHasOneDigestWhereverItIs(t *testing.T) {
	t.Parallel()
	tree := must(artifact.NewTree([]artifact.File{
		file("x/sub/a", "1"), file("x/sub/b/c", "2"), file("x/sub.txt", "3"), file("x/sub-2/a", "4"), file("y/z/sub/a", "1"), file("y/z/sub/b/c", "2"),
	}))
	first, found1 := tree.Sub("x/sub")
	second, found2 := tree.Sub("y/z/sub")
	if !found1 || !found2 || len(first.Files) != 2 || first.Digest() != second.Digest() {
		t.Errorf("sub-trees %v and %v differ", first, second)
	}
	for _, path := range []string{"x/su", "x/sub.txt", "none", ""} {
		if _, found := tree.Sub(path); found {
			t.Errorf("Sub(%q) found a directory", path)
		}
	}
	if whole, found := tree.Sub("."); !found || whole.Digest() != tree.Digest() {
		t.Errorf("Sub of the root is not the tree")
	}
}

func TestNewTreeRefusesNamingThePath(t *testing.T) {
	t.Parallel()
	for _, path := range []string{
		"", "/etc/passwd", "../x", "a/../b", "a/..", "./a", "a/./b", "a//b", "a/", "a\\b", "a\x00b", "a\nb", "C:/x", "a\xff",
		strings.Repeat("a", artifact.MaxName+1), strings.Repeat("a/", artifact.MaxDepth) + "a", strings.Repeat("aaa/", 1100) + "a",
	} {
		_, err := artifact.NewTree([]artifact.File{file(path, "")})
		if !errors.Is(err, fleet.ErrInvalid) || !strings.Contains(err.Error(), "path ") {
			t.Errorf("path %q: %v, want it refused by name", path, err)
		}
	}
	for _, path := range []string{"a", "..a", "a..", "...", "a b", "ü/ß", ".sourceignore", "a/" + strings.Repeat("b", artifact.MaxName), "-rf"} {
		if err := artifact.CheckPath(path); err != nil {
			t.Errorf("path %q: %v, want it accepted", path, err)
		}
	}
	_, err := artifact.NewTree([]artifact.File{file("a", ""), file("a", "")})
	if err == nil || !strings.Contains(err.Error(), `"a": it is there twice`) {
		t.Errorf("twice: %v", err)
	}
	_, err = artifact.NewTree([]artifact.File{file("a", ""), file("a.b", ""), file("a/b", "")})
	if err == nil || !strings.Contains(err.Error(), `"a": it is a file and a directory`) {
		t.Errorf("file and directory: %v", err)
	}
	if _, err = artifact.NewTree(make([]artifact.File, artifact.MaxEntries+1)); !errors.Is(err, fleet.ErrInvalid) {
		t.Errorf("too many: %v", err)
	}
}

func TestFileSystemShowsTheTree(t *testing.T) {
	t.Parallel()
	store := map[fleet.Digest][]byte{fleet.DigestOf([]byte("1")): []byte("1")}
	tree := must(artifact.NewTree([]artifact.File{file("a/b/c", "1"), file("a.txt", "gone"), file("a-b/x", "1")}))
	fsys := artifact.NewFS(tree, func(d fleet.Digest) ([]byte, error) {
		if data, stored := store[d]; stored {
			return data, nil
		}
		return nil, fleet.ErrNotFound
	})
	var names []string
	entries, err := fsys.ReadDir(".")
	for _, entry := range entries {
		names = append(names, fmt.Sprint(entry.Name(), " ", entry.IsDir()))
	}
	if diff := cmp.Diff([]string{"a true", "a-b true", "a.txt false"}, names); diff != "" || err != nil {
		t.Errorf("root: %v\n%s", err, diff)
	}
	if data, err := fsys.ReadFile("a/b/c"); err != nil || string(data) != "1" {
		t.Errorf("ReadFile: %q, %v", data, err)
	}
	if _, err := fsys.ReadFile("a.txt"); !errors.Is(err, fleet.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a blob that is gone: %v, want the store's error", err)
	}
	if _, err := fsys.ReadFile("a/b"); errors.Is(err, fs.ErrNotExist) || err == nil {
		t.Errorf("reading a directory: %v", err)
	}
	for _, path := range []string{"a/b/d", "a/b/c/d", "x"} {
		_, err1 := fsys.ReadFile(path)
		_, err2 := fsys.ReadDir(path)
		_, err3 := fsys.Stat(path)
		if !errors.Is(err1, fs.ErrNotExist) || !errors.Is(err2, fs.ErrNotExist) || !errors.Is(err3, fs.ErrNotExist) {
			t.Errorf("%s: %v, %v, %v; want not there", path, err1, err2, err3)
		}
	}
}

func drawFiles(t *rapid.T) []artifact.File {
	part := rapid.StringMatching(`[a-c.-]{1,3}`)
	paths := rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(part, 1, 4).Draw(t, "parts"), "/")
	}), 0, 30, rapid.ID).Draw(t, "paths")
	var files []artifact.File
	for _, path := range paths {
		next := append(files, file(path, rapid.StringN(0, 3, 3).Draw(t, "content")))
		if _, err := artifact.NewTree(append([]artifact.File{}, next...)); err == nil {
			files = next
		}
	}
	return files
}

func file(path, content string) artifact.File {
	return artifact.File{Path: path, Digest: fleet.DigestOf([]byte(content)), Size: int64(len(content))}
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
