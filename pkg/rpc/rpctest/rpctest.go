// Package rpctest serves and dials real gRPC, with or without TLS, in memory.
package rpctest

import (
	"context"
	"errors"
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"

	"flotilla.dev/flotilla/pkg/rpc"
)

// Address is what a client dials to reach a Server; it is resolved by nobody.
const Address = "passthrough:///in-memory"

// Server is a server in memory.
type Server struct{ listener *bufconn.Listener }

// Serve starts a server with what register adds to it. It is stopped when the test ends.
func Serve(t testing.TB, config rpc.ServerConfig, register func(*grpc.Server)) *Server {
	t.Helper()
	s := &Server{listener: bufconn.Listen(64 << 10)}
	server := rpc.NewServer(config)
	register(server)
	done := make(chan error, 1)
	go func() { done <- server.Serve(s.listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-done; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			t.Errorf("serve in memory: %v", err)
		}
	})
	return s
}

// Dialer connects to the server, for rpc.DialConfig.
func (s *Server) Dialer(ctx context.Context, _ string) (net.Conn, error) {
	return s.listener.DialContext(ctx)
}

// Dial returns a connection to the server, closed when the test ends. Address and Dialer of config are set here.
func (s *Server) Dial(t testing.TB, config rpc.DialConfig) *grpc.ClientConn {
	t.Helper()
	config.Address, config.Dialer = Address, s.Dialer
	conn, err := rpc.Dial(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}
