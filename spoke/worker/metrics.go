package worker

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	assignments prometheus.Gauge
	passes      *prometheus.CounterVec
	seconds     *prometheus.HistogramVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		assignments: prometheus.NewGauge(prometheus.GaugeOpts{Name: "flotilla_worker_assignments", Help: "Assignments the spoke works on."}),
		passes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "flotilla_worker_passes_total", Help: "Passes and removals that ended, by step and result.",
		}, []string{"step", "result"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "flotilla_worker_pass_seconds", Help: "How long passes and removals took, without the wait for a slot.",
			Buckets: []float64{.01, .1, 1, 10, 60, 300},
		}, []string{"step"}),
	}
	if reg != nil {
		reg.MustRegister(m.assignments, m.passes, m.seconds)
	}
	return m
}

func (m *metrics) count(o outcome) {
	result := "ok"
	if o.failure != nil {
		result = o.failure.Reason
	}
	m.passes.WithLabelValues(o.step.String(), result).Inc()
	if !o.began.IsZero() {
		m.seconds.WithLabelValues(o.step.String()).Observe(o.ended.Sub(o.began).Seconds())
	}
}

func (s step) String() string { return [...]string{"rest", "pass", "remove"}[s] }
