package lab

import (
	"io"
	"net"
	"sync"
)

// Listener puts the faults before a server that does not speak HTTP. They strike when the server has something to say,
// on open connections too. Faults that only HTTP knows are not felt there.
func (f *Faults) Listener(inner net.Listener) net.Listener { return &faultyListener{inner, f} }

type faultyListener struct {
	net.Listener
	faults *Faults
}

func (l *faultyListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	stream := l.faults.stream(conn, func() { abort(conn) }, func(f *Fault) func(*faultyStream, []byte) error { return f.conn })
	return &faultyConn{conn, stream}, nil
}

// faultyConn is a server's side of a connection.
type faultyConn struct {
	net.Conn
	stream *faultyStream
}

func (c *faultyConn) Write(p []byte) (int, error) { return c.stream.Write(p) }

func (c *faultyConn) Close() error {
	c.stream.end()
	return c.Conn.Close()
}

// faultyStream is what a server says, with the faults before it.
type faultyStream struct {
	faults *Faults
	to     io.Writer
	cut    func()
	of     func(*Fault) func(*faultyStream, []byte) error

	once  sync.Once
	ended chan struct{}
	over  <-chan struct{}
}

// stream writes to the server's client; cut breaks the connection. Of a fault it takes the part that of gives.
func (f *Faults) stream(to io.Writer, cut func(), of func(*Fault) func(*faultyStream, []byte) error) *faultyStream {
	return &faultyStream{faults: f, to: to, cut: cut, of: of, ended: make(chan struct{})}
}

func (s *faultyStream) end() { s.once.Do(func() { close(s.ended) }) }

// Write is not for concurrent use.
func (s *faultyStream) Write(p []byte) (int, error) {
	fault, over := s.faults.peek()
	if fault == nil || s.of(fault) == nil {
		return s.to.Write(p)
	}
	s.faults.strike(nil)
	s.over = over
	if err := s.of(fault)(s, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (s *faultyStream) abort([]byte) error {
	s.end()
	s.cut()
	return net.ErrClosed
}

func (s *faultyStream) hang([]byte) error {
	select {
	case <-s.over:
	case <-s.ended:
	}
	return s.abort(nil)
}

func (s *faultyStream) hangHalfway(p []byte) error {
	if _, err := s.to.Write(p[:len(p)/2]); err != nil {
		return err
	}
	return s.hang(nil)
}

func (s *faultyStream) half(p []byte) error {
	if _, err := s.to.Write(p[:len(p)/2]); err != nil {
		return err
	}
	return s.abort(nil)
}

func (s *faultyStream) garbage([]byte) error {
	if _, err := s.to.Write(noise()); err != nil {
		return err
	}
	return s.abort(nil)
}

// abort closes so that the other side learns of it by a reset.
func abort(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
