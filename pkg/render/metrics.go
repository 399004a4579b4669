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
	ways    *prometheus.CounterVec
	checks  *prometheus.CounterVec
	seconds prometheus.Histogram
	queue   prometheus.Histogram
	again   prometheus.Counter
	workers prometheus.Counter
	spawn   prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer) *metrics {
	buckets := []float64{.001, .005, .02, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}
	m := &metrics{
		builds: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "flotilla_render_builds_total", Help: "Builds by how they ended: ok, invalid, limit, canceled, error.",
		}, []string{"result"}),
		ways: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "flotilla_render_ways_total",
			Help: "Builds by how they were made, or were to be: plain, engine, kustomize or encrypted (by clusters), with the cause in a word of those by kustomize; kept: as an earlier one of the same input.",
		}, []string{"way", "cause"}),
		checks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "flotilla_render_checks_total", Help: "Builds that kustomize repeated, by whether it came to the same or a different output; skipped: it should have, but the build is too large or kustomize did not come to the end within its limits.",
		}, []string{"result"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "flotilla_render_build_seconds", Help: "Time that a build took in its worker.", Buckets: buckets,
		}),
		queue: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "flotilla_render_queue_seconds", Help: "Time that a build waited for a worker.", Buckets: buckets,
		}),
		again: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "flotilla_render_builds_again_total", Help: "Builds that failed in a worker and were tried again in a fresh one.",
		}),
		workers: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "flotilla_render_workers_started_total", Help: "Worker processes started.",
		}),
		spawn: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "flotilla_render_spawn_seconds", Help: "Time to start a worker process.", Buckets: buckets,
		}),
	}
	for _, result := range []string{checkSame, checkDifferent, checkSkipped} { // that there was none is worth knowing
		m.checks.WithLabelValues(result)
	}
	if reg != nil {
		reg.MustRegister(m.builds, m.ways, m.checks, m.seconds, m.queue, m.again, m.workers, m.spawn)
	}
	return m
}

func (m *metrics) started(took time.Duration) {
	m.workers.Inc()
	m.spawn.Observe(took.Seconds())
}

func (m *metrics) waited(took time.Duration) { m.queue.Observe(took.Seconds()) }

// Results of a check.
const (
	checkSame      = "same"
	checkDifferent = "different"
	checkSkipped   = "skipped"
)

func (m *metrics) built(made Result, err error, took time.Duration) {
	if errors.Is(err, errAlone) {
		return // it is built in another worker
	}
	m.made(made.outcome)
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

func (m *metrics) made(o outcome) {
	way := string(o.Way)
	switch {
	case way == "":
		return // it did not come so far
	case o.Found:
		way = "kept"
	}
	m.ways.WithLabelValues(way, o.Cause).Inc()
	switch {
	case o.Difference != nil:
		m.checks.WithLabelValues(checkDifferent).Inc()
	case o.Checked:
		m.checks.WithLabelValues(checkSame).Inc()
	case o.Skipped:
		m.checks.WithLabelValues(checkSkipped).Inc()
	}
}
