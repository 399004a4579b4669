package store_test

import (
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
)

// proxy stands between a Store and its database.
type proxy struct {
	listener net.Listener
	target   string
	wait     sync.WaitGroup

	mu   sync.Mutex
	dead chan struct{} // closed by cut
	all  []net.Conn
}

// newProxy returns a proxy and the database's URL through it.
func newProxy(t *testing.T, database string) (*proxy, string) {
	t.Helper()
	through, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{target: through.Host, dead: make(chan struct{})}
	if p.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	through.Host = p.listener.Addr().String()
	p.wait.Go(p.accept)
	t.Cleanup(func() {
		_ = p.listener.Close()
		p.mu.Lock()
		for _, conn := range p.all {
			_ = conn.Close()
		}
		p.mu.Unlock()
		p.wait.Wait()
	})
	return p, through.String()
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		p.all = append(p.all, client, server)
		dead := p.dead
		p.mu.Unlock()
		p.wait.Go(func() { forward(client, server, dead) })
		p.wait.Go(func() { forward(server, client, dead) })
	}
}

// cut makes a black hole of every connection there is: nothing comes through any more, and nothing says so. New ones
// are not concerned.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.dead)
	p.dead = make(chan struct{})
}

func forward(to, from net.Conn, dead <-chan struct{}) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		select {
		case <-dead:
			_, _ = io.Copy(io.Discard, from) // until the test ends
			return
		default:
		}
		if err != nil {
			_ = to.Close()
			return
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}
