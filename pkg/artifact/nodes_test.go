package artifact_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/fleet"
)

func TestATreeIsLoadedAsItWasStored(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		tree := must(artifact.NewTree(drawFiles(rt)))
		store := &artifact.Memory{}
		loaded := must(artifact.Load(t.Context(), store, keep(t, store, tree)))
		if diff := cmp.Diff(tree.Files, loaded.Files); diff != "" && len(tree.Files)+len(loaded.Files) > 0 {
			rt.Errorf("what was loaded (-want +got):\n%s", diff)
		}
	})
}

func TestALargeTreeIsStoredInSmallNodesOfSomeHeight(t *testing.T) {
	t.Parallel()
	for name, path := range map[string]string{"many directories": "apps/%d/%d/file.yaml", "one directory": "%[1]d-%[2]d.yaml", "long paths": strings.Repeat("long/", 40) + "%d/%d"} {
		files := many(path)
		tree := must(artifact.NewTree(files))
		nodes := tree.Nodes()
		if len(nodes) < len(files)/200 || len(nodes) > len(files)/16 {
			t.Errorf("%s: %d nodes for %d files", name, len(nodes), len(files))
		}
		for _, node := range nodes {
			if len(node.Data) > 60<<10 || len(node.Parts) > 512 {
				t.Errorf("%s: a node of %d bytes with %d parts", name, len(node.Data), len(node.Parts))
			}
		}
		store := &artifact.Memory{}
		if diff := cmp.Diff(tree.Files, must(artifact.Load(t.Context(), store, keep(t, store, tree))).Files); diff != "" {
			t.Errorf("%s: what was loaded (-want +got):\n%s", name, diff)
		}
	}
}

func TestOneChangedFileChangesFewNodes(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(files []artifact.File) []artifact.File{
		"content": func(files []artifact.File) []artifact.File {
			files[7_777].Digest = fleet.DigestOf([]byte("x"))
			return files
		},
		"another file": func(files []artifact.File) []artifact.File { return append(files, file("apps/5/new.yaml", "x")) },
		"a file less":  func(files []artifact.File) []artifact.File { return append(files[:12_345:12_345], files[12_346:]...) },
		"the first":    func(files []artifact.File) []artifact.File { return append(files, file("a", "x")) },
		"the last":     func(files []artifact.File) []artifact.File { return append(files, file("z", "x")) },
		"with a long path": func(files []artifact.File) []artifact.File {
			return append(files, file("apps/"+strings.Repeat("y/", 50)+"z", "x"))
		},
	} {
		known := map[fleet.Digest]bool{}
		for _, node := range must(artifact.NewTree(many("apps/%d/%d.yaml"))).Nodes() {
			known[node.Digest] = true
		}
		size, parts, count := 0, 0, 0
		for _, node := range must(artifact.NewTree(change(many("apps/%d/%d.yaml")))).Nodes() {
			if !known[node.Digest] {
				size, parts, count = size+len(node.Data), parts+len(node.Parts), count+1
			}
		}
		if size > 32<<10 || parts > 600 || count > 8 || count == 0 {
			t.Errorf("%s: %d nodes with %d bytes and %d parts are new", name, count, size, parts)
		}
	}
}

// Paths may be chosen so that every file would end a node, or none.
func TestPathsCannotMakeNodesOfOneFileOrOfAll(t *testing.T) {
	t.Parallel()
	full := must(artifact.NewTree(many("apps/%d/%d.yaml"))).Nodes()
	ends := map[string]bool{} // the last of each leaf: their hashes are alike
	for i := range full {
		leaf, err := artifact.Load(t.Context(), either{full[i].Data}, full[i].Digest) // of one above them there are no children
		if err == nil {
			ends[leaf.Files[len(leaf.Files)-1].Path] = true
		}
	}
	var files []artifact.File
	for path := range ends {
		files = append(files, file(path, path))
	}
	nodes := must(artifact.NewTree(files)).Nodes()
	if len(files) < 100 || len(nodes) > len(files)/8 {
		t.Errorf("%d nodes of %d files that each would end one", len(nodes), len(files))
	}
}

func TestATreeOfAnOlderHubIsRead(t *testing.T) {
	t.Parallel()
	raw := must(hex.DecodeString("666c6f74696c6c6120747265652031" + "0a" + "02" +
		"0003" + hex.EncodeToString([]byte("a/b")) + "00" + "01" + strings.Repeat("11", 32) +
		"0201" + hex.EncodeToString([]byte("c")) + "01" + "8001" + strings.Repeat("22", 32)))
	store := &artifact.Memory{}
	digest := fleet.DigestOf(raw)
	if err := store.Put(t.Context(), map[fleet.Digest][]byte{digest: raw}); err != nil {
		t.Fatal(err)
	}
	tree, err := artifact.Load(t.Context(), store, digest)
	if err != nil || len(tree.Files) != 2 || tree.Files[1].Path != "a/c" || tree.Files[1].Size != 128 || tree.Files[1].Mode != artifact.Executable {
		t.Errorf("tree %v, error %v", tree, err)
	}
}

func FuzzLoadTree(f *testing.F) {
	for _, node := range must(artifact.NewTree([]artifact.File{file("a/b", "1"), file("a/c", "2")})).Nodes() {
		f.Add(node.Data, node.Data)
	}
	f.Add([]byte("flotilla tree 1\n\x00"), []byte(nil))
	f.Add([]byte("flotilla tree 2\n\x00\x00"), []byte("flotilla tree 2\n\xff\x00"))
	f.Fuzz(func(t *testing.T, root, other []byte) {
		tree, err := artifact.Load(t.Context(), either{root, other}, fleet.DigestOf(root))
		if err != nil {
			if !errors.Is(err, fleet.ErrInvalid) {
				t.Errorf("%v is not an invalid error", err)
			}
			return
		}
		store := &artifact.Memory{}
		nodes := tree.Nodes()
		for _, node := range nodes {
			_ = store.Put(t.Context(), map[fleet.Digest][]byte{node.Digest: node.Data})
		}
		again, err := artifact.Load(t.Context(), store, nodes[len(nodes)-1].Digest)
		if err != nil || again.Digest() != tree.Digest() {
			t.Errorf("what was loaded is not stored as it is: %v", err)
		}
	})
}

// many are 20,000 files.
func many(path string) []artifact.File {
	files := make([]artifact.File, 20_000)
	for i := range files {
		files[i] = file(fmt.Sprintf(path, i/25, i), fmt.Sprint(i))
	}
	return files
}

// keep stores a tree with its files.
func keep(t *testing.T, store *artifact.Memory, tree *artifact.Tree) fleet.Digest {
	t.Helper()
	nodes := tree.Nodes()
	for _, node := range nodes {
		if err := store.Put(t.Context(), map[fleet.Digest][]byte{node.Digest: node.Data}); err != nil {
			t.Fatal(err)
		}
	}
	return nodes[len(nodes)-1].Digest
}

// either are the blobs that can be got.
type either [][]byte

func (e either) Get(_ context.Context, digest fleet.Digest) ([]byte, error) {
	for _, data := range e {
		if fleet.DigestOf(data) == digest {
			return data, nil
		}
	}
	return nil, fleet.ErrInvalid
}
