package source

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics of all kinds.
type Metrics struct {
	calls    *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	received *prometheus.CounterVec
	blobs    prometheus.Counter
}

// NewMetrics registers the metrics; nil registers none.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "flotilla_source_calls_total", Help: "Questions to upstreams (resolve, fetch) by kind of source and by how they ended: ok, or the kind of failure.",
		}, []string{"kind", "call", "result"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "flotilla_source_call_seconds", Help: "Time that a question to an upstream took.",
			Buckets: []float64{.01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}, []string{"kind", "call"}),
		received: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "flotilla_source_received_bytes_total", Help: "Bytes that upstreams sent, by the kind of source that they were asked for; none is what else the hub asks for.",
		}, []string{"kind"}),
		blobs: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "flotilla_source_blobs_put_total", Help: "Files given to the blob store.",
		}),
	}
	if reg != nil {
		reg.MustRegister(m.calls, m.seconds, m.received, m.blobs)
	}
	return m
}

// Measured is a Fetcher whose calls are counted and timed. A panic in one is its failure: what strangers send must not end
// the hub, nor keep it from starting again.
func Measured(f Fetcher, m *Metrics) Fetcher { return measured{f, m} }

type measured struct {
	next    Fetcher
	metrics *Metrics
}

func (f measured) Resolve(ctx context.Context, u Upstream) (found Found, err error) {
	ctx = withKind(ctx, u.Kind)
	defer func(begin time.Time) { f.metrics.done(u.Kind, "resolve", err, time.Since(begin)) }(time.Now())
	defer u.recovered(&err)
	return f.next.Resolve(ctx, u)
}

func (f measured) Fetch(ctx context.Context, u Upstream, found Found) (_ *Artifact, err error) {
	ctx = withKind(ctx, u.Kind)
	defer func(begin time.Time) { f.metrics.done(u.Kind, "fetch", err, time.Since(begin)) }(time.Now())
	defer u.recovered(&err)
	return f.next.Fetch(ctx, u, found)
}

// kindKey is of a context that says which kind of source is asked for.
type kindKey struct{}

func withKind(ctx context.Context, kind string) context.Context {
	return context.WithValue(ctx, kindKey{}, kind)
}

// receivedFor counts the bytes of the call that ctx is of. A chart's are a HelmChart's, whoever brings it.
func (n *Network) receivedFor(ctx context.Context) prometheus.Counter {
	kind, measured := ctx.Value(kindKey{}).(string)
	if !measured {
		kind = "none"
	}
	return n.received.WithLabelValues(kind)
}

func (m *Metrics) done(kind, call string, err error, took time.Duration) {
	result := "ok"
	if err != nil {
		result = string(KindOf(err))
	}
	m.calls.WithLabelValues(kind, call, result).Inc()
	m.seconds.WithLabelValues(kind, call).Observe(took.Seconds())
}
