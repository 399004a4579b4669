package source

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/fleet"
)

// NewWriter returns a Writer to the MeasuredStore.
func NewWriter(store artifact.Store, metrics *Metrics) *artifact.Writer {
	return artifact.NewWriter(MeasuredStore(store, metrics))
}

// MeasuredStore is the store as kinds write to it: it counts what is put, and a Put that fails is a StoreFailure.
func MeasuredStore(store artifact.Store, metrics *Metrics) artifact.Store {
	return &measuredStore{store, metrics.blobs}
}

type measuredStore struct {
	artifact.Store
	written prometheus.Counter
}

// Put implements artifact.Store.
func (s *measuredStore) Put(ctx context.Context, blobs map[fleet.Digest][]byte) error {
	if err := s.Store.Put(ctx, blobs); err != nil {
		return &StoreFailure{err}
	}
	s.written.Add(float64(len(blobs)))
	return nil
}
