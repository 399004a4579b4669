package rpc

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	"flotilla.dev/flotilla/pkg/telemetry"
)

// DialConfig is what a client connection is made of.
type DialConfig struct {
	// Address is host:port, or any target that gRPC resolves.
	Address string
	// TLS secures the connection; nil: none, which is for tests in memory.
	TLS *tls.Config
	// Token, when not empty, goes with every call as a bearer token; it needs TLS.
	Token string
	// UserAgent is the program's name, such as "flotilla-spoke"; the version is added.
	UserAgent string
	// Dialer replaces the network; nil: TCP.
	Dialer func(ctx context.Context, address string) (net.Conn, error)
}

// Dial returns a connection, which connects when it is first used and again when it was lost.
func Dial(config DialConfig) (*grpc.ClientConn, error) {
	transport := insecure.NewCredentials()
	if config.TLS != nil {
		transport = credentials.NewTLS(config.TLS)
	}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithUserAgent(config.UserAgent + "/" + telemetry.Version()),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{
			Time: keepalivePeriod, Timeout: keepaliveTimeout, PermitWithoutStream: true,
		}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(MaxMessage), grpc.MaxCallSendMsgSize(MaxMessage)),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 200 * time.Millisecond, Multiplier: 2, Jitter: 0.5, MaxDelay: 10 * time.Second},
			MinConnectTimeout: 10 * time.Second,
		}),
	}
	if config.Token != "" {
		options = append(options, grpc.WithPerRPCCredentials(bearer(config.Token)))
	}
	if config.Dialer != nil {
		options = append(options, grpc.WithContextDialer(config.Dialer))
	}
	conn, err := grpc.NewClient(config.Address, options...)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", config.Address, err)
	}
	return conn, nil
}

// bearer sends a token with every call, and only over TLS.
type bearer string

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}

func (bearer) RequireTransportSecurity() bool { return true }
