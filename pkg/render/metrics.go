package render

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"flotilla.dev/flotilla/pkg/fleet"
)

type metrics struct {
	builds  *prometheus.CounterVec
	seconds prometheus.Histogram
	queue   prometheus.Histogram
	workers prometheus.Counter
	spawn   prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer) *metrics {
	buckets := []float64{.001, .005, .02, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}
	m := &metrics{
		builds: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "flotilla_render_builds_total", Help: "Builds by how they ended: ok, invalid, limit, canceled, error.",
		}, []string{"result"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "flotilla_render_build_seconds", Help: "Time that a build took in its worker.", Buckets: buckets,
		}),
		queue: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "flotilla_render_queue_seconds", Help: "Time that a build waited for a worker.", Buckets: buckets,
		}),
		workers: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "flotilla_render_workers_started_total", Help: "Worker processes started.",
		}),
		spawn: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "flotilla_render_spawn_seconds", Help: "Time to start a worker process.", Buckets: buckets,
		}),
	}
	if reg != nil {
		reg.MustRegister(m.builds, m.seconds, m.queue, m.workers, m.spawn)
	}
	return m
}

func (m *metrics) started(took time.Duration) {
	m.workers.Inc()
	m.spawn.Observe(took.Seconds())
}

func (m *metrics) waited(took time.Duration) { m.queue.Observe(took.Seconds()) }

func (m *metrics) built(err error, took time.Duration) {
	m.seconds.Observe(took.Seconds())
	var limit *limitError
	result := "ok"
	switch {
	case err == nil:
	case errors.As(err, &limit):
		result = "limit"
	case errors.Is(err, fleet.ErrInvalid), errors.Is(err, fleet.ErrNotFound):
		result = "invalid"
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, errStopped):
		result = "canceled"
	default:
		result = "error"
	}
	m.builds.WithLabelValues(result).Inc()
}
