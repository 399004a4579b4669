package deploy

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	passes      *prometheus.HistogramVec
	writes      *prometheus.CounterVec
	corrections prometheus.Counter
	pruned      prometheus.Counter
}

// newMetrics makes the package's metrics and registers them, unless reg is nil.
func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		passes: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "flotilla_spoke_pass_seconds", Help: "Duration of a pass of an App, by result.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 10),
		}, []string{"result"}),
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
		reg.MustRegister(m.passes, m.writes, m.corrections, m.pruned)
	}
	return m
}

func (m *metrics) pass(began time.Time, err error) {
	result := "success"
	if err != nil {
		result = "failure"
	}
	m.passes.WithLabelValues(result).Observe(time.Since(began).Seconds())
}

func (m *metrics) tally(t *tally) {
	t.mu.Lock()
	defer t.mu.Unlock()
	m.writes.WithLabelValues("created").Add(float64(t.created))
	m.writes.WithLabelValues("configured").Add(float64(t.configured))
}
