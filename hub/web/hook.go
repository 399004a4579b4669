package web

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"flotilla.dev/flotilla/pkg/run"
)

// Hooks take the calls of webhooks.
type Hooks interface {
	// Call returns how a call of a path is answered. It reads the body to its end, or to an *http.MaxBytesError.
	Call(ctx context.Context, path string, header http.Header, body io.Reader) (code int, text string)
}

const (
	// hookPrefix is what the paths of webhooks begin with; the rest of them is secret, and never logged.
	hookPrefix = "/hook/"
	// maxHookBody is what a call may hold.
	maxHookBody = 1 << 20
	// refusalTime is when a call that is refused, or of a path that nobody has, is answered: at the same time after it came,
	// whatever was done until it was clear. It is longer than that takes.
	refusalTime = 250 * time.Millisecond
)

// receivers serve webhooks, and nothing else: whoever sends them is anywhere.
type receivers struct {
	hooks Hooks
	log   *slog.Logger
}

// Receivers has Hooks take what is posted below /hook/.
func Receivers(hooks Hooks, log *slog.Logger) http.Handler {
	return receivers{hooks, log}
}

// ServeHTTP takes a call of a webhook.
func (s receivers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	w.Header().Set("Cache-Control", "no-store")
	if !strings.HasPrefix(r.URL.Path, hookPrefix) {
		say(w, s.log, http.StatusNotFound, "only webhooks are here")
		return
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		say(w, s.log, http.StatusMethodNotAllowed, "a webhook is called with POST")
		return
	}
	code, text := s.call(r.Context(), r.URL.Path, r.Header, http.MaxBytesReader(w, r.Body, maxHookBody))
	switch code {
	case http.StatusNotFound:
		if err := run.Sleep(r.Context(), refusalTime-time.Since(began)); err != nil {
			return // the caller has left
		}
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "5")
	}
	say(w, s.log, code, text)
}

// call has the Hooks take a call. A panic, of which a hostile body could be the reason, ends no more than the call.
func (s receivers) call(ctx context.Context, path string, header http.Header, body io.Reader) (code int, text string) {
	defer func() {
		if problem := recover(); problem != nil {
			s.log.Error("webhook's call ended by a panic", "kind", fmt.Sprintf("%T", problem), "stack", string(debug.Stack()))
			code, text = http.StatusInternalServerError, "internal error"
		}
	}()
	return s.hooks.Call(ctx, path, header, body)
}
