package release

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/fleet"
)

// countedBlobs have every content, which is its digest, and remember how many were asked for at a time.
type countedBlobs struct {
	Blobs
	asked []int
}

func (c *countedBlobs) GetAll(_ context.Context, digests []fleet.Digest) (map[fleet.Digest][]byte, error) {
	c.asked = append(c.asked, len(digests))
	found := map[fleet.Digest][]byte{}
	for _, digest := range digests {
		found[digest] = digest[:]
	}
	return found, nil
}

func TestFilesAreReadAheadTheMoreTheMoreAreRead(t *testing.T) {
	t.Parallel()
	tree := &artifact.Tree{}
	for i := range 2000 {
		path := fmt.Sprintf("d/f%04d", i)
		tree.Files = append(tree.Files, artifact.File{Path: path, Digest: fleet.DigestOf([]byte(path)), Size: 32})
	}
	blobs := &countedBlobs{}
	loop := New(Config{Blobs: blobs})
	read := loop.files(tree)
	for _, file := range tree.Files {
		if data, err := read.get(t.Context(), file.Digest); err != nil || fleet.Digest(data) != file.Digest {
			t.Fatalf("%s: %x, %v", file.Path, data, err)
		}
	}
	if want := []int{1, 8, 64, 500, 500, 500, 427}; !slices.Equal(blobs.asked, want) {
		t.Errorf("asked for %v at a time, want %v", blobs.asked, want)
	}
}
