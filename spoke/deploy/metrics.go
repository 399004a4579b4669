package deploy

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	writes      *prometheus.CounterVec
	corrections prometheus.Counter
	pruned      prometheus.Counter
}

// newMetrics makes the package's metrics and registers them, unless reg is nil.
func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		writes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "flotilla_spoke_objects_written_total", Help: "Objects written by passes, by what became of them.",
		}, []string{"action"}),
		corrections: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "flotilla_spoke_drift_corrections_total", Help: "Writes that undid what others did.",
		}),
		pruned: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "flotilla_spoke_objects_deleted_total", Help: "Objects deleted because they left their App, or it ended.",
		}),
	}
	if reg != nil {
		reg.MustRegister(m.writes, m.corrections, m.pruned)
	}
	return m
}

func (m *metrics) tally(t *tally) {
	t.mu.Lock()
	defer t.mu.Unlock()
	m.writes.WithLabelValues("created").Add(float64(t.created))
	m.writes.WithLabelValues("configured").Add(float64(t.configured))
}
