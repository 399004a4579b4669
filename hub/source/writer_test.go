package source_test

import (
	"context"
	"errors"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/fleet"
)

func TestWhatIsStoredIsCountedAndItsFailureIsTheHubs(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	store := fullStore{}
	writer := source.NewWriter(&store, source.NewMetrics(registry))
	for _, content := range []string{"a", "b", "a"} {
		if _, err := writer.Add(t.Context(), []byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	store.full = true
	var failure *source.StoreFailure
	if err := writer.Flush(t.Context()); !errors.As(err, &failure) {
		t.Errorf("a store that fails: %v; want a StoreFailure", err)
	}
	if n := counted(t, registry); n != 0 {
		t.Errorf("%v blobs are counted before one is stored", n)
	}
	store.full = false
	if err := writer.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := counted(t, registry); n != 2 {
		t.Errorf("%v blobs are counted; 2 were stored", n)
	}
}

func counted(t *testing.T, registry *prometheus.Registry) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == "flotilla_source_blobs_put_total" {
			return family.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Fatal("blobs that are put have no metric")
	return 0
}

// fullStore takes nothing while it is full.
type fullStore struct {
	artifact.Memory
	full bool
}

func (s *fullStore) Put(ctx context.Context, blobs map[fleet.Digest][]byte) error {
	if s.full {
		return errors.New("no space left on device")
	}
	return s.Memory.Put(ctx, blobs)
}
