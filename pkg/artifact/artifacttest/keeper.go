package artifacttest

import (
	"context"
	"fmt"
	"testing"

	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/fleet"
)

// RunKeeper tests what a Keeper does beside what every Store must; open returns an empty one, and is called once a test.
func RunKeeper(t *testing.T, open func(t *testing.T) artifact.Keeper) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, artifact.Keeper){
		"WhatIsPutIsKept":               kept,
		"APartThatIsNotStoredIsRefused": partless,
		"PuttingAgainChangesNothing":    keptTwice,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

// tree stores some hundreds of files, and returns the nodes of a Tree of them.
func tree(t *testing.T, s artifact.Keeper, change string) []artifact.Node {
	t.Helper()
	files := make([]artifact.File, 300)
	contents := map[fleet.Digest][]byte{}
	for i := range files {
		content := fmt.Append(nil, i/2) // every file is there twice
		if i == 150 {
			content = []byte(change)
		}
		digest := fleet.DigestOf(content)
		contents[digest] = content
		files[i] = artifact.File{Path: fmt.Sprintf("dir/%03d", i), Digest: digest, Size: int64(len(content))}
	}
	mustBeNil(t, s.Put(t.Context(), contents))
	made, err := artifact.NewTree(files)
	mustBeNil(t, err)
	return made.Nodes()
}

func kept(t *testing.T, s artifact.Keeper) {
	nodes := tree(t, s, "before")
	if counts(t, s, nodes) != 0 {
		t.Error("what was never put is kept")
	}
	mustBeNil(t, s.PutNodes(t.Context(), nodes))
	if got := counts(t, s, nodes); got != len(nodes) {
		t.Errorf("%d of %d nodes are kept", got, len(nodes))
	}
	loaded, err := artifact.Load(t.Context(), s, nodes[len(nodes)-1].Digest)
	if err != nil || len(loaded.Files) != 300 {
		t.Errorf("tree %v, error %v", loaded, err)
	}
	after := tree(t, s, "after")
	if got := counts(t, s, after); got == 0 || got > len(after)-2 {
		t.Errorf("of a tree with another file, %d of %d nodes are kept", got, len(after))
	}
}

func partless(t *testing.T, s artifact.Keeper) {
	absent := fleet.DigestOf([]byte("absent"))
	data := []byte("node")
	node := artifact.Node{Digest: fleet.DigestOf(data), Data: data, Parts: []fleet.Digest{absent}}
	if err := s.PutNodes(t.Context(), []artifact.Node{node}); err == nil {
		t.Error("a node without its part is kept")
	}
	if counts(t, s, []artifact.Node{node}) != 0 {
		t.Error("a node that was refused is kept")
	}
	// Half of its parts are as good as none.
	mustBeNil(t, s.Put(t.Context(), blobs("here")))
	mustBeNil(t, s.PutNodes(t.Context(), []artifact.Node{{Digest: node.Digest, Data: data, Parts: []fleet.Digest{fleet.DigestOf([]byte("here"))}}}))
	node.Parts = append(node.Parts, fleet.DigestOf([]byte("here")))
	if counts(t, s, []artifact.Node{node}) != 0 {
		t.Error("a node that lacks a part is kept")
	}
}

func keptTwice(t *testing.T, s artifact.Keeper) {
	nodes := tree(t, s, "x")
	for range 2 {
		mustBeNil(t, s.PutNodes(t.Context(), nodes))
	}
	mustBeNil(t, s.PutNodes(t.Context(), nil))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if s.PutNodes(ctx, nodes) == nil {
		t.Error("a context that has ended is no error")
	}
}

func counts(t *testing.T, s artifact.Keeper, nodes []artifact.Node) int {
	t.Helper()
	found, err := s.Kept(t.Context(), nodes)
	mustBeNil(t, err)
	count := 0
	for _, node := range nodes {
		if found[node.Digest] {
			count++
		}
	}
	return count
}
