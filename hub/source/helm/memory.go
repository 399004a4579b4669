package helm

import (
	"context"
	"net/http"
	"sync"
	"time"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/fleet"
)

// memories are what is kept of servers, by Remote. Nothing is lost with one but a download and a connection.
type memories struct {
	mu   sync.Mutex
	byID map[string]*memory
}

// maxMemories bounds them.
const maxMemories = 10_000

// memory is how a server is reached and what it said of its index last.
type memory struct {
	connect     sync.Once
	connections connections

	// turn is whose the rest is.
	turn           chan struct{}
	etag, modified string
	digest         fleet.Digest
	// asked is when the server was asked last.
	asked time.Time
}

// connections are the HTTP of a repository: index, charts and provenance come over those that are open. own meets what
// client.trusts, which is the repository's server more often than not; others the other hosts, which get no certificate.
type connections struct{ own, others *http.Client }

func newMemories() *memories { return &memories{byID: map[string]*memory{}} }

// of is what is kept of the upstream's Remote, at its URL: queries are no part of the Remote.
func (m *memories) of(u source.Upstream) *memory {
	id := u.Remote + " " + repositorySpec(u).URL
	m.mu.Lock()
	defer m.mu.Unlock()
	kept, found := m.byID[id]
	if !found {
		for other := range m.byID {
			if len(m.byID) < maxMemories {
				break
			}
			delete(m.byID, other)
		}
		kept = &memory{turn: make(chan struct{}, 1)}
		m.byID[id] = kept
	}
	return kept
}

// take waits until nobody else asks the same server for the same index.
func (m *memory) take(ctx context.Context) (done func(), err error) {
	select {
	case m.turn <- struct{}{}:
		return func() { <-m.turn }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// connected makes the connections at the first call: all that they follow from is in the Remote.
func (m *memory) connected(dial func() connections) connections {
	m.connect.Do(func() { m.connections = dial() })
	return m.connections
}

// condition is what makes the server send the index only if it is another.
func (m *memory) condition() http.Header {
	header := http.Header{}
	if m.digest.IsZero() {
		return header
	}
	if m.etag != "" {
		header.Set("If-None-Match", m.etag)
	}
	if m.modified != "" {
		header.Set("If-Modified-Since", m.modified)
	}
	return header
}

// note keeps what the server said of the index that it sent.
func (m *memory) note(digest fleet.Digest, header http.Header) {
	m.digest, m.etag, m.modified = digest, header.Get("Etag"), header.Get("Last-Modified")
}

// forget has the server send the index whatever it is.
func (m *memory) forget() { m.note(fleet.Digest{}, http.Header{}) }
