package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"flotilla.dev/flotilla/pkg/run"
)

// Timeouts of a request and of the wait for those in flight.
const (
	requestTimeout = 10 * time.Second
	stopTimeout    = 2 * time.Second
)

// maxHeader bounds the headers of a request.
const maxHeader = 64 << 10

// Serve serves a handler until ctx ends.
func Serve(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: requestTimeout, ReadTimeout: requestTimeout, WriteTimeout: 3 * requestTimeout, MaxHeaderBytes: maxHeader,
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

// say answers with a line of text.
func say(w http.ResponseWriter, log *slog.Logger, code int, text string) {
	w.WriteHeader(code)
	if _, err := fmt.Fprintln(w, text); err != nil {
		log.Debug("answer not written", "err", err)
	}
}
