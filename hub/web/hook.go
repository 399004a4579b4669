package web

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
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

// hook takes a call of a webhook.
func (s *Site) hook(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	w.Header().Set("Cache-Control", "no-store")
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		s.say(w, http.StatusMethodNotAllowed, "a webhook is called with POST")
		return
	}
	code, text := s.callHook(r.Context(), r.URL.Path, r.Header, http.MaxBytesReader(w, r.Body, maxHookBody))
	switch code {
	case http.StatusNotFound:
		if err := run.Sleep(r.Context(), refusalTime-time.Since(began)); err != nil {
			return // the caller has left
		}
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "5")
	}
	s.say(w, code, text)
}

// callHook has the Hooks take a call. A panic, of which a hostile body could be the reason, ends no more than the call.
func (s *Site) callHook(ctx context.Context, path string, header http.Header, body io.Reader) (code int, text string) {
	defer func() {
		if problem := recover(); problem != nil {
			s.Log.Error("webhook's call ended by a panic", "kind", fmt.Sprintf("%T", problem), "stack", string(debug.Stack()))
			code, text = http.StatusInternalServerError, "internal error"
		}
	}()
	return s.Hooks.Call(ctx, path, header, body)
}
