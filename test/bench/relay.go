package main

import (
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
)

// relay passes connections on to a database, and counts how often a client has to wait for it.
type relay struct {
	url      string
	target   string
	listener net.Listener
	count    atomic.Int64
	tasks    sync.WaitGroup

	mu   sync.Mutex
	open []net.Conn
}

func startRelay(database string) (*relay, error) {
	u, err := url.Parse(database)
	if err != nil {
		return nil, err
	}
	r := &relay{target: u.Host}
	if r.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	if r.url, err = relayed(database, r.listener.Addr().String()); err != nil {
		return nil, err
	}
	r.tasks.Go(r.accept)
	return r, nil
}

// trips is how many round trips there were.
func (r *relay) trips() int64 { return r.count.Load() }

func (r *relay) stop() {
	_ = r.listener.Close()
	r.mu.Lock()
	for _, conn := range r.open {
		_ = conn.Close()
	}
	r.mu.Unlock()
	r.tasks.Wait()
}

func (r *relay) accept() {
	for {
		client, err := r.listener.Accept()
		if err != nil {
			return // stopped
		}
		server, err := net.Dial("tcp", r.target)
		if err != nil {
			_ = client.Close() // the client says what that means
			continue
		}
		r.mu.Lock()
		r.open = append(r.open, client, server)
		r.mu.Unlock()
		r.tasks.Go(func() { pass(client, server) })
		r.tasks.Go(func() { pass(server, io.TeeReader(client, &frames{count: &r.count})) })
	}
}

// pass copies until either side ends, and ends the other.
func pass(to io.WriteCloser, from io.Reader) {
	_, _ = io.Copy(to, from) // an end is an end
	_ = to.Close()
}

// frames reads what a client of Postgres sends, which is a startup message and then messages of a letter, a length and
// so many bytes: a Sync or a Query ends what it sends before it waits.
type frames struct {
	count   *atomic.Int64
	started bool
	head    []byte
	left    int // of the message that is passing
}

// Write is io.Writer's; it never fails.
func (f *frames) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		if f.left > 0 {
			skip := min(f.left, len(p))
			f.left, p = f.left-skip, p[skip:]
			continue
		}
		size := 5
		if !f.started {
			size = 4
		}
		take := min(size-len(f.head), len(p))
		f.head, p = append(f.head, p[:take]...), p[take:]
		if len(f.head) < size {
			continue
		}
		if f.started && (f.head[0] == 'S' || f.head[0] == 'Q') {
			f.count.Add(1)
		}
		f.left = int(binary.BigEndian.Uint32(f.head[size-4:])) - 4 // the length counts itself
		f.started, f.head = true, f.head[:0]
	}
	return n, nil
}
