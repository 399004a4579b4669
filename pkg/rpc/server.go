package rpc

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"flotilla.dev/flotilla/pkg/run"
)

const (
	// MaxMessage bounds a message either way.
	MaxMessage = 4 << 20
	// keepalivePeriod and keepaliveTimeout find a dead peer; minPing is how often a client may ping before the server
	// takes it for abuse and hangs up.
	keepalivePeriod  = 30 * time.Second
	keepaliveTimeout = 10 * time.Second
	minPing          = 10 * time.Second
	// unaryTimeout is the deadline of a unary call that brings none, or a later one.
	unaryTimeout = time.Minute
	// stopTimeout bounds the wait for calls in flight when a server stops.
	stopTimeout = 5 * time.Second
)

// ServerConfig is what a server is made of.
type ServerConfig struct {
	// Name tells a process' servers apart in logs and metrics, such as "spoke" and "admin".
	Name string
	// TLS secures the listener; nil: none, which is for tests in memory.
	TLS *tls.Config
	// Log defaults to slog.Default, Metrics to none.
	Log     *slog.Logger
	Metrics prometheus.Registerer
	// Authorize runs inside recovery, metrics, logging and the deadline; nil lets every call through. Unary and Stream
	// run inside it, in their order.
	Authorize Authorize
	Unary     []grpc.UnaryServerInterceptor
	Stream    []grpc.StreamServerInterceptor
}

// NewServer returns a server without services. What its handlers return goes through Status; their panics are errors.
func NewServer(config ServerConfig) *grpc.Server {
	observe := newObserver(config)
	unary, stream := []grpc.UnaryServerInterceptor{observe.unary}, []grpc.StreamServerInterceptor{observe.stream}
	if config.Authorize != nil {
		unary, stream = append(unary, config.Authorize.unary), append(stream, config.Authorize.stream)
	}
	options := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(MaxMessage),
		grpc.MaxSendMsgSize(MaxMessage),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: minPing, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: keepalivePeriod, Timeout: keepaliveTimeout}),
		grpc.ChainUnaryInterceptor(append(unary, config.Unary...)...),
		grpc.ChainStreamInterceptor(append(stream, config.Stream...)...),
	}
	if config.TLS != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(config.TLS)))
	}
	return grpc.NewServer(options...)
}

// Serve serves until ctx ends, then lets calls in flight finish for at most 5 seconds and returns nil. The listener is
// closed in any case. A handler of an endless stream has to end it by itself when the process stops.
func Serve(ctx context.Context, server *grpc.Server, listener net.Listener) error {
	err := run.All(ctx,
		run.Named{Name: "serve " + listener.Addr().String(), Task: func(context.Context) error {
			// A server that is stopped before it accepts says so.
			if err := server.Serve(listener); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
				return fmt.Errorf("grpc: %w", err)
			}
			return nil
		}},
		run.Named{Name: "stop", Task: func(ctx context.Context) error {
			<-ctx.Done()
			stop(server)
			return nil
		}},
	)
	return err
}

// stop waits for calls in flight, but not for ever.
func stop(server *grpc.Server) {
	hard := time.AfterFunc(stopTimeout, server.Stop)
	defer hard.Stop()
	server.GracefulStop()
}
