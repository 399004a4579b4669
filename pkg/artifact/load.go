package artifact

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Load reads the stored Tree whose root has the digest. What is no Tree is fleet.ErrInvalid; other errors are the store's.
func Load(ctx context.Context, store Getter, root fleet.Digest) (*Tree, error) {
	all, err := getAll(ctx, store, []fleet.Digest{root})
	if err != nil {
		return nil, fmt.Errorf("load tree: %w", err)
	}
	files, err := load(ctx, store, all[root])
	if err != nil {
		return nil, fmt.Errorf("load tree: %w", err)
	}
	if !slices.IsSortedFunc(files, func(a, b File) int { return cmp.Compare(a.Path, b.Path) }) {
		return nil, fmt.Errorf("load tree: %w: its files are not sorted", fleet.ErrInvalid)
	}
	tree, err := NewTree(files)
	if err != nil {
		return nil, fmt.Errorf("load tree: %w", err)
	}
	return tree, nil
}

// Getter is what a Tree is read from: a Store.
type Getter interface {
	Get(ctx context.Context, digest fleet.Digest) ([]byte, error)
}

func load(ctx context.Context, store Getter, root []byte) ([]File, error) {
	if bytes.HasPrefix(root, []byte(magic1)) {
		return decode1(root)
	}
	level := [][]byte{root}
	height, err := heightOf(root)
	if err != nil {
		return nil, err
	}
	for ; height > 0; height-- {
		var names []fleet.Digest
		for _, data := range level {
			children, err := childrenOf(data, height)
			if err != nil {
				return nil, err
			}
			if names = append(names, children...); len(names) > MaxEntries {
				return nil, fmt.Errorf("%w: it has more nodes than files", fleet.ErrInvalid)
			}
		}
		blobs, err := getAll(ctx, store, names)
		if err != nil {
			return nil, err
		}
		level = make([][]byte, len(names))
		for i, name := range names {
			level[i] = blobs[name]
		}
	}
	var files []File
	for _, data := range level {
		r, err := open(data, 0)
		if err != nil {
			return nil, err
		}
		more, err := r.files()
		if err != nil {
			return nil, err
		}
		if files = append(files, more...); len(files) > MaxEntries {
			return nil, fmt.Errorf("%w: it has more than %d files", fleet.ErrInvalid, MaxEntries)
		}
	}
	return files, nil
}

// maxHeight is more than a Tree of MaxEntries files has: each level has at most half of the nodes of the one below.
const maxHeight = 20

func heightOf(root []byte) (byte, error) {
	r := reader{rest: root}
	if string(r.take(uint64(len(magic)))) != magic {
		return 0, fmt.Errorf("%w: it does not begin with %q", fleet.ErrInvalid, magic)
	}
	height := r.byte()
	if r.broken || height > maxHeight {
		return 0, fmt.Errorf("%w: it is cut off or malformed", fleet.ErrInvalid)
	}
	return height, nil
}

// open is what follows the head of a node of that height.
func open(data []byte, height byte) (reader, error) {
	found, err := heightOf(data)
	if err != nil {
		return reader{}, err
	}
	if found != height {
		return reader{}, fmt.Errorf("%w: it names a node of another height", fleet.ErrInvalid)
	}
	return reader{rest: data[len(magic)+1:]}, nil
}

func childrenOf(data []byte, height byte) ([]fleet.Digest, error) {
	r, err := open(data, height)
	if err != nil {
		return nil, err
	}
	count := r.number()
	if r.broken || count == 0 || count > MaxEntries || count*uint64(len(fleet.Digest{})) != uint64(len(r.rest)) {
		return nil, fmt.Errorf("%w: it is cut off or malformed", fleet.ErrInvalid)
	}
	children := make([]fleet.Digest, count)
	for i := range children {
		copy(children[i][:], r.take(uint64(len(fleet.Digest{}))))
	}
	return children, nil
}

// getAll gets blobs, several in one question where the store has one for that.
func getAll(ctx context.Context, store Getter, digests []fleet.Digest) (map[fleet.Digest][]byte, error) {
	if many, can := store.(interface {
		GetAll(context.Context, []fleet.Digest) (map[fleet.Digest][]byte, error)
	}); can {
		return many.GetAll(ctx, digests)
	}
	blobs := make(map[fleet.Digest][]byte, len(digests))
	for _, digest := range digests {
		if _, got := blobs[digest]; got {
			continue
		}
		data, err := store.Get(ctx, digest)
		if err != nil {
			return nil, err
		}
		blobs[digest] = data
	}
	return blobs, nil
}
