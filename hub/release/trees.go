package release

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/fleet"
)

// trees keeps the decoded Trees that were used last: every App on a Source, at each commit, is looked up in one.
type trees struct {
	blobs Blobs
	mu    sync.Mutex
	held  []heldTree // the one used last at the end
}

type heldTree struct {
	blob fleet.Digest
	tree *artifact.Tree
}

// Bounds of the Trees that are held; the one used last is, whatever its size.
const (
	maxTrees     = 64
	maxTreeFiles = artifact.MaxEntries
)

// get returns a stored Tree. Whatever cannot be read is an errArtifact.
func (t *trees) get(ctx context.Context, blob fleet.Digest) (*artifact.Tree, error) {
	if tree := t.known(blob); tree != nil {
		return tree, nil
	}
	tree, err := artifact.Load(ctx, t.blobs, blob)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errArtifact, err)
	}
	t.hold(heldTree{blob, tree})
	return tree, nil
}

func (t *trees) known(blob fleet.Digest) *artifact.Tree {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.IndexFunc(t.held, func(h heldTree) bool { return h.blob == blob })
	if i < 0 {
		return nil
	}
	used := t.held[i]
	t.held = append(slices.Delete(t.held, i, i+1), used)
	return used.tree
}

// hold takes a Tree, and lets those go that were not used for longest as far as there are too many.
func (t *trees) hold(taken heldTree) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.held = append(slices.DeleteFunc(t.held, func(h heldTree) bool { return h.blob == taken.blob }), taken)
	files, keep := 0, len(t.held)
	for keep > 0 && len(t.held)-keep < maxTrees {
		if files += len(t.held[keep-1].tree.Files); files > maxTreeFiles && keep < len(t.held) {
			break
		}
		keep--
	}
	t.held = slices.Delete(t.held, 0, keep)
}

// keepTree stores a Tree, and returns the digest of its root.
func (l *Loop) keepTree(ctx context.Context, tree *artifact.Tree) (fleet.Digest, error) {
	nodes := tree.Nodes()
	if err := l.Blobs.PutNodes(ctx, nodes); err != nil {
		return fleet.Digest{}, err
	}
	return nodes[len(nodes)-1].Digest, nil
}
