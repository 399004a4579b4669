package helm

import (
	"context"
	"net/http"
	"sync"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
)

// remotes are what servers said of their indexes last, by Remote. Nothing is lost with one but a download.
type remotes struct {
	mu   sync.Mutex
	byID map[string]*remote
}

// maxRemotes bounds them.
const maxRemotes = 10_000

// remote is a server's index. Who holds turn may use the rest.
type remote struct {
	turn chan struct{}

	etag, modified string
	digest         fleet.Digest
	// asked is when the server was asked last.
	asked time.Time
}

func newRemotes() *remotes { return &remotes{byID: map[string]*remote{}} }

// take waits until nobody else asks the same server the same, and then gives what is known of its index.
func (r *remotes) take(ctx context.Context, id string) (*remote, func(), error) {
	r.mu.Lock()
	known, found := r.byID[id]
	if !found {
		for other := range r.byID {
			if len(r.byID) < maxRemotes {
				break
			}
			delete(r.byID, other)
		}
		known = &remote{turn: make(chan struct{}, 1)}
		r.byID[id] = known
	}
	r.mu.Unlock()
	select {
	case known.turn <- struct{}{}:
		return known, func() { <-known.turn }, nil
	case <-ctx.Done():
		return nil, nil, context.Cause(ctx)
	}
}

// condition is what makes the server send the index only if it is another.
func (r *remote) condition() http.Header {
	header := http.Header{}
	if r.digest.IsZero() {
		return header
	}
	if r.etag != "" {
		header.Set("If-None-Match", r.etag)
	}
	if r.modified != "" {
		header.Set("If-Modified-Since", r.modified)
	}
	return header
}

// is notes what the server sent.
func (r *remote) is(digest fleet.Digest, header http.Header) {
	r.digest, r.etag, r.modified = digest, header.Get("Etag"), header.Get("Last-Modified")
}
