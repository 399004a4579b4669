// Package web is what the hub serves over HTTP: metrics and probes for those who run it, and webhooks, which have to be
// reachable from where others are. Each has a listener of its own, as with Flux, whose metrics are at :8080 and whose
// receivers are at :9292.
package web

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"flotilla.dev/flotilla/pkg/telemetry"
)

// Config is what a Site needs.
type Config struct {
	Metrics *prometheus.Registry
	// Ready says whether the hub can work now.
	Ready func(ctx context.Context) error
	// Trouble says what does not go well though the hub can work; empty: nothing. Nil: nothing ever.
	Trouble func() string
	Log     *slog.Logger
}

// Site is for those who run the hub: /metrics, /healthz (the process lives) and /readyz (its database answers). The latter tells of a trouble
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

// Handler is to be served.
func (s *Site) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", telemetry.Handler(s.Metrics))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { say(w, s.Log, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", s.readyz)
	return mux
}

func (s *Site) readyz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), requestTimeout/2)
	defer cancel()
	if err := s.Ready(ctx); err != nil {
		s.Log.Warn("not ready", "err", err)
		say(w, s.Log, http.StatusServiceUnavailable, "the database does not answer")
		return
	}
	text, trouble := "ok", s.Trouble()
	s.tell(trouble)
	if trouble != "" {
		text += "\n" + trouble
	}
	say(w, s.Log, http.StatusOK, text)
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
