// Package web is what the hub serves over HTTP: metrics and probes.
package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"flotilla.dev/flotilla/pkg/run"
	"flotilla.dev/flotilla/pkg/telemetry"
)

// Config is what a Site needs.
type Config struct {
	Metrics *prometheus.Registry
	// Ready says whether the hub can work now.
	Ready func(ctx context.Context) error
	Log   *slog.Logger
}

// Site serves /metrics, /healthz (the process lives) and /readyz (its database answers).
type Site struct{ Config }

// New returns a Site.
func New(config Config) *Site { return &Site{config} }

// Timeouts of a request and of the wait for those in flight.
const (
	requestTimeout = 10 * time.Second
	stopTimeout    = 2 * time.Second
)

// Serve serves until ctx ends.
func (s *Site) Serve(ctx context.Context, listener net.Listener) error {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", telemetry.Handler(s.Metrics))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { s.say(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", s.readyz)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: requestTimeout, ReadTimeout: requestTimeout, WriteTimeout: 3 * requestTimeout}
	return run.All(ctx,
		run.Named{Name: "serve", Task: func(context.Context) error {
			if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("http: %w", err)
			}
			return nil
		}},
		run.Named{Name: "stop", Task: func(ctx context.Context) error {
			<-ctx.Done()
			stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
			defer cancel()
			return server.Shutdown(stopping)
		}},
	)
}

func (s *Site) readyz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), requestTimeout/2)
	defer cancel()
	if err := s.Ready(ctx); err != nil {
		s.Log.Warn("not ready", "err", err)
		s.say(w, http.StatusServiceUnavailable, "the database does not answer")
		return
	}
	s.say(w, http.StatusOK, "ok")
}

func (s *Site) say(w http.ResponseWriter, code int, text string) {
	w.WriteHeader(code)
	if _, err := fmt.Fprintln(w, text); err != nil {
		s.Log.Debug("answer not written", "err", err)
	}
}
