// Package web is what the hub serves over HTTP: metrics, probes and webhooks.
package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
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
	// Trouble says what does not go well though the hub can work; empty: nothing. Nil: nothing ever.
	Trouble func() string
	// Hooks take what is posted below /hook/.
	Hooks Hooks
	Log   *slog.Logger
}

// Site serves webhooks, /metrics, /healthz (the process lives) and /readyz (its database answers). The latter tells of a trouble
// beside, and is ready nevertheless: clusters are to reach a hub that cannot build for a while.
type Site struct {
	Config

	mu sync.Mutex
	// told is the trouble that was logged last: probes come every few seconds.
	told string
}

// New returns a Site.
func New(config Config) *Site {
	if config.Trouble == nil {
		config.Trouble = func() string { return "" }
	}
	return &Site{Config: config}
}

// Timeouts of a request and of the wait for those in flight.
const (
	requestTimeout = 10 * time.Second
	stopTimeout    = 2 * time.Second
)

// maxHeader bounds the headers of a request.
const maxHeader = 64 << 10

// Serve serves until ctx ends.
func (s *Site) Serve(ctx context.Context, listener net.Listener) error {
	server := &http.Server{
		Handler: s.Handler(), ReadHeaderTimeout: requestTimeout, ReadTimeout: requestTimeout, WriteTimeout: 3 * requestTimeout, MaxHeaderBytes: maxHeader,
	}
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

// Handler is what Serve serves.
func (s *Site) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", telemetry.Handler(s.Metrics))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { s.say(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.HandleFunc(hookPrefix, s.hook)
	return mux
}

func (s *Site) readyz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), requestTimeout/2)
	defer cancel()
	if err := s.Ready(ctx); err != nil {
		s.Log.Warn("not ready", "err", err)
		s.say(w, http.StatusServiceUnavailable, "the database does not answer")
		return
	}
	text, trouble := "ok", s.Trouble()
	s.tell(trouble)
	if trouble != "" {
		text += "\n" + trouble
	}
	s.say(w, http.StatusOK, text)
}

// tell logs that a trouble began, and that it ended. What a trouble says of itself changes while it lasts, as does how
// long something has waited: another one is told when it begins with other words, those before the first colon.
func (s *Site) tell(trouble string) {
	kind, _, _ := strings.Cut(trouble, ":")
	s.mu.Lock()
	before := s.told
	s.told = kind
	s.mu.Unlock()
	switch {
	case kind == before:
	case trouble == "":
		s.Log.Info("out of trouble", "what", before)
	default:
		s.Log.Warn("in trouble", "what", trouble)
	}
}

func (s *Site) say(w http.ResponseWriter, code int, text string) {
	w.WriteHeader(code)
	if _, err := fmt.Fprintln(w, text); err != nil {
		s.Log.Debug("answer not written", "err", err)
	}
}
