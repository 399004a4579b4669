package release

import (
	"context"
	"fmt"
	"path"
	"strings"

	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/fleet"
)

// files are those of a Tree, for one build. A first build reads most files of a few directories, one after the other, and
// a later one the few that have changed: with each that is not there yet, more of what follows it in its directory is read
// too.
type files struct {
	blobs Blobs
	tree  *artifact.Tree
	// at is where in the tree a content is for the first time.
	at   map[fleet.Digest]int
	read map[fleet.Digest][]byte
	size int64
	next int // how many are read next
}

// Bounds of what is read ahead at a time, and of what is held.
const (
	aheadFiles  = 500
	aheadGrowth = 8
	aheadBytes  = 4 << 20
	heldBytes   = 32 << 20
)

// files returns the files of a Tree. Whatever cannot be read of them is an errArtifact.
func (l *Loop) files(tree *artifact.Tree) *files {
	f := &files{blobs: l.Blobs, tree: tree, at: make(map[fleet.Digest]int, len(tree.Files)), read: map[fleet.Digest][]byte{}, next: 1}
	for i, file := range tree.Files {
		if _, known := f.at[file.Digest]; !known {
			f.at[file.Digest] = i
		}
	}
	return f
}

// get returns the content of a file; it is for one caller at a time.
func (f *files) get(ctx context.Context, digest fleet.Digest) ([]byte, error) {
	if data, known := f.read[digest]; known {
		return data, nil
	}
	if f.size > heldBytes {
		clear(f.read)
		f.size = 0
	}
	found, err := f.blobs.GetAll(ctx, f.ahead(digest))
	f.next = min(f.next*aheadGrowth, aheadFiles)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errArtifact, err)
	}
	for digest, data := range found {
		f.read[digest] = data
		f.size += int64(len(data))
	}
	return f.read[digest], nil
}

// ahead is the file of that digest and those after it in its directory, as far as they are not read and not too large.
func (f *files) ahead(digest fleet.Digest) []fleet.Digest {
	wanted := []fleet.Digest{digest}
	first, known := f.at[digest]
	if !known {
		return wanted
	}
	inside := path.Dir(f.tree.Files[first].Path) + "/"
	if inside == "./" {
		inside = ""
	}
	bytes := int64(0)
	for _, file := range f.tree.Files[first+1:] {
		if !strings.HasPrefix(file.Path, inside) || len(wanted) >= f.next {
			break
		}
		if f.read[file.Digest] != nil || bytes+file.Size > aheadBytes {
			continue
		}
		bytes += file.Size
		wanted = append(wanted, file.Digest)
	}
	return wanted
}
