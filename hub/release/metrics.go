package release

import (
	"cmp"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	builds   *prometheus.CounterVec
	releases prometheus.Counter
	duration prometheus.Histogram
	census   *census
}

func newMetrics(registry prometheus.Registerer) *metrics {
	m := &metrics{
		builds: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "flotilla_hub_builds_total", Help: "Kustomizations whose build was wanted, by what it took: built, found (kept from before), failed, or postponed by a failure of the hub."}, []string{"result"}),
		releases: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "flotilla_hub_releases_total", Help: "Releases that were new for their App."}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "flotilla_hub_build_seconds", Help: "Time of one build.", Buckets: prometheus.ExponentialBuckets(0.01, 2, 14)}),
		census: &census{},
	}
	if registry != nil {
		registry.MustRegister(m.builds, m.releases, m.duration, m.census)
	}
	return m
}

// census is a prometheus.Collector of how the declared Sources are: as a whole, so that whoever reads it while they are
// counted anew sees what was counted last.
type census struct{ last atomic.Pointer[counted] }

// counted are numbers of Sources.
type counted struct {
	sources map[[2]string]int // by kind and state
	stale   map[string]int    // by kind
}

var (
	sourcesDesc = prometheus.NewDesc("flotilla_hub_sources",
		"Declared Sources by kind and by how they are: ready, waiting, suspended, or the kind of failure. Every replica shows all.", []string{"kind", "state"}, nil)
	staleDesc = prometheus.NewDesc("flotilla_hub_sources_stale",
		"Sources whose artifact may not be what upstream has, as that cannot be asked, by kind. Every replica shows all.", []string{"kind"}, nil)
)

// Describe implements prometheus.Collector.
func (c *census) Describe(to chan<- *prometheus.Desc) {
	to <- sourcesDesc
	to <- staleDesc
}

// Collect implements prometheus.Collector.
func (c *census) Collect(to chan<- prometheus.Metric) {
	last := c.last.Load()
	if last == nil {
		return // nothing was looked at yet
	}
	for labels, count := range last.sources {
		to <- prometheus.MustNewConstMetric(sourcesDesc, prometheus.GaugeValue, float64(count), labels[:]...)
	}
	for kind, count := range last.stale {
		to <- prometheus.MustNewConstMetric(staleDesc, prometheus.GaugeValue, float64(count), kind)
	}
}

// take counts the declared Sources.
func (c *census) take(v *view) {
	now := &counted{sources: map[[2]string]int{}, stale: map[string]int{}}
	for _, s := range v.sources {
		kind := s.object.Kind
		if s.spec.static {
			continue
		}
		now.sources[[2]string{kind, stateOf(s)}]++
		stale := 0
		if s.state.Reason != "" && !s.state.StaleSince.IsZero() && !s.spec.suspend {
			stale = 1
		}
		now.stale[kind] += stale
	}
	c.last.Store(now)
}

func stateOf(s *declaredSource) string {
	switch {
	case s.spec.suspend:
		return "suspended"
	case s.state.Reason != "" && !s.state.Waiting:
		return cmp.Or(s.state.Failure, "unknown")
	case s.state.TreeBlob.IsZero() || s.state.Waiting:
		return "waiting"
	}
	return "ready"
}
