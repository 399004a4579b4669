package spoke

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"flotilla.dev/flotilla/pkg/telemetry"
)

// probes serve metrics and say how the process is. One that waits for the Lease is ready: it is there to take over.
type probes struct {
	listener net.Listener // nil: off
	server   *http.Server
	ready    atomic.Bool
}

func newProbes(address string, registry *prometheus.Registry) (*probes, error) {
	p := &probes{}
	if address != "" {
		listener, err := net.Listen("tcp", address)
		if err != nil {
			return nil, fmt.Errorf("--http-listen: %w", err)
		}
		p.listener = listener
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", telemetry.Handler(registry))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !p.ready.Load() {
			http.Error(w, "the API server has not been reached yet", http.StatusServiceUnavailable)
			return
		}
		_, _ = fmt.Fprintln(w, "ok")
	})
	p.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	return p, nil
}

// serve blocks until ctx ends or close is called.
func (p *probes) serve(ctx context.Context) error {
	if p.listener == nil {
		return nil
	}
	stop := context.AfterFunc(ctx, p.close)
	defer stop()
	if err := p.server.Serve(p.listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (p *probes) close() {
	_ = p.server.Close()
	if p.listener != nil {
		_ = p.listener.Close()
	}
}
