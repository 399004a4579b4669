package artifact

import (
	"context"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Writer puts files into a Store several at a time. It is used by one goroutine.
type Writer struct {
	store Store
	blobs map[fleet.Digest][]byte
	size  int
}

// NewWriter returns a Writer to the store.
func NewWriter(store Store) *Writer { return &Writer{store: store} }

// Bounds of a batch: what is held in memory.
const (
	maxBatch      = 4 << 20
	maxBatchBlobs = 500
)

// Add takes a file's content, which is not changed afterwards, and returns its digest. Errors are the store's.
func (w *Writer) Add(ctx context.Context, content []byte) (fleet.Digest, error) {
	if w.blobs == nil {
		w.blobs = map[fleet.Digest][]byte{}
	}
	digest := fleet.DigestOf(content)
	if _, held := w.blobs[digest]; held {
		return digest, nil
	}
	w.blobs[digest] = content
	if w.size += len(content); w.size >= maxBatch || len(w.blobs) >= maxBatchBlobs {
		return digest, w.Flush(ctx)
	}
	return digest, nil
}

// Flush writes what is left. Errors are the store's.
func (w *Writer) Flush(ctx context.Context) error {
	if len(w.blobs) == 0 {
		return nil
	}
	if err := w.store.Put(ctx, w.blobs); err != nil {
		return err
	}
	w.blobs, w.size = nil, 0
	return nil
}
