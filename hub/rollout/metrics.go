package rollout

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	rows     prometheus.Counter
	failures prometheus.Counter
	seconds  prometheus.Histogram
	checks   *prometheus.CounterVec
	lost     prometheus.Counter
}

func newMetrics(config Config) *metrics {
	m := &metrics{
		rows: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "flotilla_hub_assignments_written_total", Help: "Assignment rows that rollouts wrote."}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "flotilla_hub_rollout_step_failures_total", Help: "Rollout steps that failed and were tried again."}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "flotilla_hub_rollout_step_seconds", Help: "Time of one App's step: load, decide and write.",
			Buckets: []float64{.005, .01, .02, .05, .1, .2, .5, 1, 2, 5}}),
		checks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "flotilla_hub_rollout_checks_total", Help: "Questions of analysis and webhook gates that were asked, by type, who asked, and result."},
			[]string{"type", "scope", "result"}),
		lost: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "flotilla_hub_rollout_check_answers_lost_total", Help: "Answers that could not be brought to their Rollouts; they are asked for anew."}),
	}
	if config.Metrics != nil {
		config.Metrics.MustRegister(m.rows, m.failures, m.seconds, m.checks, m.lost, census{config})
	}
	return m
}

func (m *metrics) stepped(took time.Duration, rows int) {
	m.seconds.Observe(took.Seconds())
	m.rows.Add(float64(rows))
}

func (m *metrics) checked(check Check, result Result) {
	scope := "Hub"
	if check.Cluster != "" {
		scope = "Cluster"
	}
	m.checks.WithLabelValues(string(check.Spec.Type()), scope, string(result)).Inc()
}

// census counts Rollouts when it is asked.
type census struct{ Config }

var phasesDesc = prometheus.NewDesc("flotilla_hub_rollouts", "Rollouts that are not over, by phase.", []string{"phase"}, nil)

// countTime bounds the wait for the database, which a scrape would wait for.
const countTime = 2 * time.Second

func (c census) Describe(to chan<- *prometheus.Desc) { to <- phasesDesc }

func (c census) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), countTime)
	defer cancel()
	counts, err := c.Store.PhaseCounts(ctx)
	if err != nil {
		c.Log.Debug("rollouts not counted", "err", err)
		return
	}
	for _, phase := range []Phase{Queued, Running, Paused, Halted, RollingBack} {
		to <- prometheus.MustNewConstMetric(phasesDesc, prometheus.GaugeValue, float64(counts[phase]), string(phase))
	}
}
