package source

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/fleet"
)

// Writer puts files into the store several at a time; the store writes those that it lacks. It is used by one goroutine.
type Writer struct {
	store   artifact.Store
	written prometheus.Counter
	blobs   map[fleet.Digest][]byte
	size    int
}

// NewWriter returns a Writer to the store.
func NewWriter(store artifact.Store, metrics *Metrics) *Writer {
	return &Writer{store: store, written: metrics.blobs}
}

// Bounds of a batch: what is held in memory.
const (
	maxBatch     = 4 << 20
	maxBatchSize = 500
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
	if w.size += len(content); w.size >= maxBatch || len(w.blobs) >= maxBatchSize {
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
	w.written.Add(float64(len(w.blobs)))
	w.blobs, w.size = nil, 0
	return nil
}
