package release

import (
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
)

func TestSourcesAreAllThereWhenTheyAreReadWhileTheyAreCounted(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	m := newMetrics(registry)
	v := &view{}
	for range 5000 {
		v.sources = append(v.sources, &declaredSource{object: &resource.Object{Kind: "Bucket"}, state: fleet.SourceState{TreeBlob: fleet.DigestOf(nil)}})
	}
	read := func() (sources float64) {
		families, err := registry.Gather()
		if err != nil {
			t.Error(err)
		}
		for _, family := range families {
			for _, metric := range family.GetMetric() {
				if family.GetName() == "flotilla_hub_sources" {
					sources += metric.GetGauge().GetValue()
				}
			}
		}
		return sources
	}
	m.census.take(v)
	var group sync.WaitGroup
	done := make(chan struct{})
	group.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				m.census.take(v)
			}
		}
	})
	for range 300 {
		if n := read(); n != 5000 {
			t.Errorf("%v of 5000 are there", n)
			break
		}
	}
	close(done)
	group.Wait()
	m.census.take(&view{})
	if n := read(); n != 0 {
		t.Errorf("%v of none are there", n)
	}
}
