package deploy_test

import (
	"errors"
	"net/http"
	"path"
	"strings"
	"sync"
	"sync/atomic"
)

// cut lets a number of writes through and fails all that follow, as a process killed there would not have made them;
// with lost, the last one reaches the API server and its answer is lost.
type cut struct {
	next   http.RoundTripper
	left   *atomic.Int64
	lost   bool
	broken *atomic.Bool
}

var errCut = errors.New("cut off")

func (c cut) RoundTrip(r *http.Request) (*http.Response, error) {
	write := r.Method != http.MethodGet && r.URL.Query().Get("dryRun") == ""
	if c.broken.Load() {
		return nil, errCut
	}
	if !write {
		return c.next.RoundTrip(r)
	}
	left := c.left.Add(-1)
	if left > 0 || left == 0 && c.lost {
		response, err := c.next.RoundTrip(r)
		if left == 0 {
			c.broken.Store(true)
			if err == nil {
				_ = response.Body.Close()
			}
			return nil, errCut
		}
		return response, err
	}
	c.broken.Store(true)
	return nil, errCut
}

// cutAfter has an engine that is started next cut off at its nth write.
func (b *bundle) cutAfter(n int, lost bool) {
	left, broken := &atomic.Int64{}, &atomic.Bool{}
	left.Store(int64(n))
	b.wrap = func(next http.RoundTripper) http.RoundTripper {
		return cut{next: next, left: left, lost: lost, broken: broken}
	}
}

// writes are what an engine sent about objects of the test's namespace, dry-runs aside, as "PATCH name".
type writes struct {
	mu   sync.Mutex
	sent []string
}

func (w *writes) all() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sent
}

// tap notes the writes of an engine that is started next.
func (b *bundle) tap() *writes {
	w := &writes{}
	before := b.wrap
	b.wrap = func(next http.RoundTripper) http.RoundTripper {
		if before != nil {
			next = before(next)
		}
		return noter{next, w, "/namespaces/" + b.namespace + "/"}
	}
	return w
}

type noter struct {
	next   http.RoundTripper
	writes *writes
	under  string
}

func (n noter) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodGet && r.URL.Query().Get("dryRun") == "" && strings.Contains(r.URL.Path, n.under) {
		n.writes.mu.Lock()
		n.writes.sent = append(n.writes.sent, r.Method+" "+path.Base(r.URL.Path))
		n.writes.mu.Unlock()
	}
	return n.next.RoundTrip(r)
}

// gate holds back an engine's writes of objects of which the name begins with a prefix, while it is shut.
type gate struct {
	prefix string
	next   http.RoundTripper

	mu      sync.Mutex
	opened  chan struct{} // nil: it is open
	waiting int
}

// gated puts a gate before an engine that is started next.
func (b *bundle) gated(prefix string) *gate {
	g := &gate{prefix: prefix}
	b.wrap = func(next http.RoundTripper) http.RoundTripper {
		g.next = next
		return g
	}
	return g
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.opened = make(chan struct{})
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.opened)
	g.opened = nil
}

// held is how many writes are held back.
func (g *gate) held() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.waiting
}

func (g *gate) RoundTrip(r *http.Request) (*http.Response, error) {
	g.mu.Lock()
	opened := g.opened
	if opened == nil || r.Method != http.MethodPatch || !strings.HasPrefix(path.Base(r.URL.Path), g.prefix) {
		g.mu.Unlock()
		return g.next.RoundTrip(r)
	}
	g.waiting++
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.waiting--
	}()
	select {
	case <-opened:
		return g.next.RoundTrip(r)
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}
