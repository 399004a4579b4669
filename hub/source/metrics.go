package source

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	calls    *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	received prometheus.Counter
	blobs    prometheus.Counter
	rebuilt  prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "flotilla_source_calls_total", Help: "Questions to upstreams (resolve, fetch) by how they ended: ok, or the kind of failure.",
		}, []string{"call", "result"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "flotilla_source_call_seconds", Help: "Time that a question to an upstream took.",
			Buckets: []float64{.01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}, []string{"call"}),
		received: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "flotilla_source_received_bytes_total", Help: "Bytes that upstreams sent.",
		}),
		blobs: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "flotilla_source_blobs_put_total", Help: "Files given to the blob store.",
		}),
		rebuilt: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "flotilla_source_mirrors_rebuilt_total", Help: "Mirrors that were damaged and fetched anew.",
		}),
	}
	if reg != nil {
		reg.MustRegister(m.calls, m.seconds, m.received, m.blobs, m.rebuilt)
	}
	return m
}

func (m *metrics) done(call string, err error, took time.Duration) {
	result := "ok"
	if err != nil {
		result = string(KindOf(err))
	}
	m.calls.WithLabelValues(call, result).Inc()
	m.seconds.WithLabelValues(call).Observe(took.Seconds())
}
