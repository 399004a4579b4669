package lab

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
)

// Link is a way to an address that can be cut, as a network is, while who uses it goes on: connections through it end, and new
// ones are refused until it is mended. It is safe for concurrent use.
type Link struct {
	address, to string
	tasks       sync.WaitGroup

	mu       sync.Mutex
	listener net.Listener // nil while it is cut
	open     map[net.Conn]bool
}

// StartLink opens a way to an address.
func StartLink(to string) (*Link, error) {
	l := &Link{address: loopback(0), to: to, open: map[net.Conn]bool{}}
	return l, l.Mend()
}

// TestLink is a link of the test's own.
func TestLink(t testing.TB, to string) *Link {
	t.Helper()
	l, err := StartLink(to)
	if err != nil {
		t.Fatal(err)
	}
	stopAfter(t, l.Stop)
	return l
}

// Address is where the link begins, the same after each Cut.
func (l *Link) Address() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.address
}

// Mend lets connections through.
func (l *Link) Mend() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.listener != nil {
		return nil
	}
	listener, err := net.Listen("tcp", l.address)
	if err != nil {
		return err
	}
	l.listener, l.address = listener, listener.Addr().String()
	l.tasks.Go(func() { l.accept(listener) })
	return nil
}

// Cut ends the connections there are, and refuses others.
func (l *Link) Cut() {
	l.mu.Lock()
	if l.listener != nil {
		_ = l.listener.Close()
		l.listener = nil
	}
	for conn := range l.open {
		_ = conn.Close()
	}
	l.mu.Unlock()
	l.tasks.Wait()
}

// Stop ends the link. It may be called more than once.
func (l *Link) Stop() error {
	l.Cut()
	return nil
}

func (l *Link) accept(listener net.Listener) {
	for {
		near, err := listener.Accept()
		if err != nil {
			return // it is cut
		}
		l.tasks.Go(func() { l.pass(near) })
	}
}

// pass carries bytes both ways until one side ends.
func (l *Link) pass(near net.Conn) {
	defer near.Close()
	var dialer net.Dialer
	far, err := dialer.DialContext(context.Background(), "tcp", l.to)
	if err != nil {
		return
	}
	defer far.Close()
	if !l.keep(near, far) {
		return
	}
	defer l.forget(near, far)
	ended := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
		go func() {
			_, _ = io.Copy(way[0], way[1]) // how it ends, who speaks through it is told
			ended <- struct{}{}
		}()
	}
	<-ended
	_, _ = near.Close(), far.Close()
	<-ended
}

// keep has a Cut end the connections; false: the link is cut already.
func (l *Link) keep(conns ...net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.listener == nil {
		return false
	}
	for _, conn := range conns {
		l.open[conn] = true
	}
	return true
}

func (l *Link) forget(conns ...net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, conn := range conns {
		delete(l.open, conn)
	}
}
