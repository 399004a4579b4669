package source_test

import (
	"context"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/fleet"
)

// countingStore is a store that counts the blobs put, and can lose them.
type countingStore struct {
	mu    sync.Mutex
	inner artifact.Memory
	count int
	fail  error
}

func (s *countingStore) Put(ctx context.Context, blobs map[fleet.Digest][]byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count += len(blobs)
	if s.fail != nil {
		return s.fail
	}
	return s.inner.Put(ctx, blobs)
}

func (s *countingStore) Missing(ctx context.Context, digests []fleet.Digest) ([]fleet.Digest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inner.Missing(ctx, digests)
}

func (s *countingStore) Get(ctx context.Context, digest fleet.Digest) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inner.Get(ctx, digest)
}

func (s *countingStore) puts() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

func (s *countingStore) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inner = artifact.Memory{}
}

// registry reads metrics back.
type registry struct{ *prometheus.Registry }

func newRegistry() *registry { return &registry{prometheus.NewRegistry()} }

func (r *registry) sum(t *testing.T, name string) float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, family := range families {
		if family.GetName() == name {
			for _, metric := range family.GetMetric() {
				sum += metric.GetCounter().GetValue()
			}
		}
	}
	return sum
}
