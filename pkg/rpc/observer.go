package rpc

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"flotilla.dev/flotilla/pkg/run"
	"flotilla.dev/flotilla/pkg/telemetry"
)

// observer is the outermost interceptor: it recovers, bounds, maps, counts and logs every call.
type observer struct {
	log     *slog.Logger
	metrics *metrics
}

func newObserver(config ServerConfig) *observer {
	return &observer{
		log:     cmp.Or(config.Log, slog.Default()),
		metrics: newMetrics(config.Name, config.Metrics),
	}
}

func (o *observer) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (resp any, err error) {
	ctx, cancel := context.WithTimeout(ctx, unaryTimeout)
	defer cancel()
	err = o.call(ctx, info.FullMethod, func(ctx context.Context) (err error) {
		resp, err = handler(ctx, req)
		return err
	})
	return resp, err
}

func (o *observer) stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	open := o.metrics.streams.WithLabelValues(info.FullMethod)
	open.Inc()
	defer open.Dec()
	return o.call(stream.Context(), info.FullMethod, func(context.Context) error { return handler(srv, stream) })
}

func (o *observer) call(ctx context.Context, method string, f run.Task) error {
	started := time.Now()
	err := Status(run.Recover(ctx, f))
	took := time.Since(started)
	code := status.Code(err)
	o.metrics.calls.WithLabelValues(method, code.String()).Inc()
	o.metrics.seconds.WithLabelValues(method).Observe(took.Seconds())
	if err != nil {
		o.logFailure(ctx, method, code, took, err)
	}
	return err
}

// logFailure logs what is the server's fault as such, and what is the client's for whoever looks closely.
func (o *observer) logFailure(ctx context.Context, method string, code codes.Code, took time.Duration, err error) {
	attributes := []slog.Attr{
		slog.String(telemetry.KeyMethod, method),
		slog.String(telemetry.KeyCode, code.String()),
		slog.Duration(telemetry.KeyTook, took),
	}
	if p, ok := peer.FromContext(ctx); ok {
		attributes = append(attributes, slog.String(telemetry.KeyPeer, p.Addr.String()))
	}
	level := slog.LevelDebug
	if hidden := (*internalError)(nil); errors.As(err, &hidden) {
		level = slog.LevelError
		attributes = append(attributes, slog.String(telemetry.KeyID, hidden.id))
		err = hidden.cause
	}
	attributes = append(attributes, telemetry.Err(err))
	o.log.LogAttrs(ctx, level, "call failed", attributes...)
}

// metrics of one server. The methods are those registered: grpc refuses others before any interceptor runs.
type metrics struct {
	calls   *prometheus.CounterVec
	seconds *prometheus.HistogramVec
	streams *prometheus.GaugeVec
}

func newMetrics(server string, reg prometheus.Registerer) *metrics {
	m := &metrics{
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "flotilla_rpc_calls_total",
			Help: "Calls and streams that ended, by method and code.",
		}, []string{"method", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "flotilla_rpc_duration_seconds",
			Help:    "How long calls and streams took, by method.",
			Buckets: []float64{.001, .01, .1, 1, 10, 60},
		}, []string{"method"}),
		streams: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "flotilla_rpc_open_streams",
			Help: "Streams that are open, by method.",
		}, []string{"method"}),
	}
	if reg != nil {
		prometheus.WrapRegistererWith(prometheus.Labels{"server": server}, reg).MustRegister(m.calls, m.seconds, m.streams)
	}
	return m
}
