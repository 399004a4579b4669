package lab

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Faults are what goes wrong at a server, switched while it runs. A server that refuses connections is down: that is
// its own to do. The zero value lets everything through. It is safe for concurrent use.
type Faults struct {
	mu      sync.Mutex
	fault   *Fault
	match   func(*http.Request) bool
	cleared chan struct{} // closed when the fault ends
	struck  int
}

// Fault is one way to fail.
type Fault struct {
	// serve answers in place of the handler, or breaks what it answers. over is closed when the fault has ended.
	serve func(w http.ResponseWriter, r *http.Request, next http.Handler, over <-chan struct{})
	// conn fails a connection that speaks something else than HTTP, in place of what the server has to say; stream fails
	// what is said inside of one. Both wait for over or the end.
	conn, stream func(c *faultyStream, p []byte) error
}

// The faults that need no more said.
var (
	// Reset breaks the connection before an answer.
	Reset = Fault{serve: reset, conn: (*faultyStream).abort}
	// Hang accepts and never answers.
	Hang = Fault{serve: hang, conn: (*faultyStream).hang}
	// HangHalfway answers with headers and half of the body, and no more.
	HangHalfway = Fault{serve: hangHalfway, stream: (*faultyStream).hangHalfway}
	// Half sends half of the body and breaks the connection.
	Half = Fault{serve: half, stream: (*faultyStream).half}
	// Garbage answers 200 with bytes that mean nothing.
	Garbage = Fault{serve: garbage, conn: (*faultyStream).garbage}
)

// Redirect sends clients to the same path and query of another site, given by its URL.
func Redirect(to string) Fault {
	return httpOnly(func(w http.ResponseWriter, r *http.Request, _ http.Handler, _ <-chan struct{}) {
		http.Redirect(w, r, to+r.URL.RequestURI(), http.StatusTemporaryRedirect)
	})
}

// moved is where MovedHere sends clients.
const moved = "/moved"

// MovedHere redirects to another path of the same site, which serves what was asked for.
var MovedHere = httpOnly(func(w http.ResponseWriter, r *http.Request, next http.Handler, _ <-chan struct{}) {
	if !strings.HasPrefix(r.URL.Path, moved+"/") {
		http.Redirect(w, r, moved+r.URL.RequestURI(), http.StatusTemporaryRedirect)
		return
	}
	http.StripPrefix(moved, next).ServeHTTP(w, r)
})

// RedirectLoop redirects to where the client has just been.
var RedirectLoop = httpOnly(func(w http.ResponseWriter, r *http.Request, _ http.Handler, _ <-chan struct{}) {
	http.Redirect(w, r, r.URL.RequestURI(), http.StatusTemporaryRedirect)
})

// SecretOfServer is in the text of answers with an error status; it must never be shown.
const SecretOfServer = "stack trace of the server"

// Status answers with a status, such as 401, 403, 404 or 500.
func Status(code int) Fault { return StatusRetryAfter(code, 0) }

// StatusRetryAfter also says when to come again, in whole seconds; 0 does not say.
func StatusRetryAfter(code int, after time.Duration) Fault {
	return httpOnly(func(w http.ResponseWriter, r *http.Request, _ http.Handler, _ <-chan struct{}) {
		if after > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(after/time.Second)))
		}
		if code == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", `Basic realm="lab"`)
		}
		http.Error(w, SecretOfServer, code)
	})
}

// Set makes every request fail so from now on, in place of what was set before.
func (f *Faults) Set(fault Fault) { f.SetFor(func(*http.Request) bool { return true }, fault) }

// SetFor makes those requests fail that match.
func (f *Faults) SetFor(match func(*http.Request) bool, fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.end()
	f.fault, f.match, f.cleared, f.struck = &fault, match, make(chan struct{}), 0
}

// Clear ends the fault, and with it what hangs.
func (f *Faults) Clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.end()
}

func (f *Faults) end() {
	if f.fault != nil {
		close(f.cleared)
	}
	f.fault = nil
}

// Struck is how often the fault that was set last has hit.
func (f *Faults) Struck() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.struck
}

// Handler puts the faults before a handler.
func (f *Faults) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fault, over := f.strike(r)
		if fault == nil {
			next.ServeHTTP(w, r)
			return
		}
		fault.serve(w, r, next, over)
	})
}

// strike is the fault of a request, or for nil that of a connection.
func (f *Faults) strike(r *http.Request) (*Fault, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fault == nil || (r != nil && !f.match(r)) {
		return nil, nil
	}
	f.struck++
	return f.fault, f.cleared
}

// peek is the fault that a connection would be struck by.
func (f *Faults) peek() (*Fault, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fault, f.cleared
}

func reset(w http.ResponseWriter, _ *http.Request, _ http.Handler, _ <-chan struct{}) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		abort(conn)
		return
	}
	panic(http.ErrAbortHandler) // HTTP/2: the stream is reset
}

func hang(_ http.ResponseWriter, r *http.Request, _ http.Handler, over <-chan struct{}) {
	_, _ = io.Copy(io.Discard, r.Body) // only then is a client's leaving seen
	select {
	case <-r.Context().Done():
	case <-over:
	}
	panic(http.ErrAbortHandler)
}

func hangHalfway(w http.ResponseWriter, r *http.Request, next http.Handler, over <-chan struct{}) {
	halfOf(w, r, next)
	hang(w, r, next, over)
}

func half(w http.ResponseWriter, r *http.Request, next http.Handler, _ <-chan struct{}) {
	halfOf(w, r, next)
	panic(http.ErrAbortHandler)
}

// halfOf announces the whole answer and sends half of it.
func halfOf(w http.ResponseWriter, r *http.Request, next http.Handler) {
	whole := answer(next, r)
	for name, values := range whole.header {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Length", strconv.Itoa(whole.body.Len()))
	w.WriteHeader(whole.status)
	_, _ = w.Write(whole.body.Bytes()[:whole.body.Len()/2])
	_ = http.NewResponseController(w).Flush()
}

func garbage(w http.ResponseWriter, r *http.Request, next http.Handler, _ <-chan struct{}) {
	w.Header().Set("Content-Type", answer(next, r).header.Get("Content-Type"))
	_, _ = w.Write(noise())
}

// noise is the same every time.
func noise() []byte {
	bytes := make([]byte, 4096)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(bytes)
	return bytes
}

func httpOnly(serve func(http.ResponseWriter, *http.Request, http.Handler, <-chan struct{})) Fault {
	return Fault{serve: serve}
}

// recorded is an answer held back.
type recorded struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func answer(next http.Handler, r *http.Request) *recorded {
	a := &recorded{header: http.Header{}, status: http.StatusOK}
	next.ServeHTTP(a, r)
	return a
}

func (a *recorded) Header() http.Header         { return a.header }
func (a *recorded) WriteHeader(status int)      { a.status = status }
func (a *recorded) Write(p []byte) (int, error) { return a.body.Write(p) }
