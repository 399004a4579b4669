package rpc_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/identity"
	"flotilla.dev/flotilla/pkg/rpc"
	"flotilla.dev/flotilla/pkg/rpc/rpctest"
)

// service answers Check and Watch with what the test says.
type service struct {
	healthv1.UnimplementedHealthServer
	check func(context.Context) error
	watch func(grpc.ServerStream) error
}

func (s service) Check(ctx context.Context, _ *healthv1.HealthCheckRequest) (*healthv1.HealthCheckResponse, error) {
	return &healthv1.HealthCheckResponse{}, s.check(ctx)
}

func (s service) Watch(_ *healthv1.HealthCheckRequest, stream grpc.ServerStreamingServer[healthv1.HealthCheckResponse]) error {
	return s.watch(stream)
}

func (s service) register(server *grpc.Server) { healthv1.RegisterHealthServer(server, s) }

// logs is a log that can be read while it is written.
type logs struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buffer.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buffer.String()
}

func call(t *testing.T, config rpc.ServerConfig, check func(context.Context) error) error {
	t.Helper()
	conn := rpctest.Serve(t, config, service{check: check}.register).Dial(t, rpc.DialConfig{})
	_, err := healthv1.NewHealthClient(conn).Check(t.Context(), &healthv1.HealthCheckRequest{})
	return err
}

func TestInternalFailureIsLoggedOnceUnderTheIDTheClientIsTold(t *testing.T) {
	t.Parallel()
	var log logs
	err := call(t, rpc.ServerConfig{Log: slog.New(slog.NewTextHandler(&log, nil))},
		func(context.Context) error { return errors.New("pq: disk full") })
	if status.Code(err) != codes.Internal || strings.Contains(err.Error(), "disk full") {
		t.Fatalf("the client was told %v", err)
	}
	id := strings.Fields(status.Convert(err).Message())[2]
	if got := log.String(); strings.Count(got, "disk full") != 1 || !strings.Contains(got, "id="+id) {
		t.Errorf("id %s, log:\n%s", id, got)
	}
}

func TestClientsOwnMistakeIsNotLoggedAsAFailure(t *testing.T) {
	t.Parallel()
	var log logs
	err := call(t, rpc.ServerConfig{Log: slog.New(slog.NewTextHandler(&log, nil))},
		func(context.Context) error { return fmt.Errorf("get: %w", fleet.ErrNotFound) })
	if !errors.Is(rpc.FromStatus(err), fleet.ErrNotFound) || log.String() != "" {
		t.Errorf("error %v, log %q", err, log.String())
	}
}

func TestPanicIsAnInternalErrorAndTheServerGoesOn(t *testing.T) {
	t.Parallel()
	var log logs
	config := rpc.ServerConfig{Log: slog.New(slog.NewTextHandler(&log, nil))}
	panics := true
	conn := rpctest.Serve(t, config, service{check: func(context.Context) error {
		if panics {
			panic("boom")
		}
		return nil
	}, watch: func(grpc.ServerStream) error { panic("crash") }}.register).Dial(t, rpc.DialConfig{})
	client := healthv1.NewHealthClient(conn)
	if _, err := client.Check(t.Context(), &healthv1.HealthCheckRequest{}); status.Code(err) != codes.Internal {
		t.Errorf("Check = %v", err)
	}
	stream, err := client.Watch(t.Context(), &healthv1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.Internal {
		t.Errorf("Watch = %v", err)
	}
	panics = false
	if _, err := client.Check(t.Context(), &healthv1.HealthCheckRequest{}); err != nil {
		t.Errorf("after the panics: %v", err)
	}
	if got := log.String(); !strings.Contains(got, "boom") || !strings.Contains(got, "crash") {
		t.Errorf("log:\n%s", got)
	}
}

func TestUnaryCallWithoutADeadlineGetsOne(t *testing.T) {
	t.Parallel()
	err := call(t, rpc.ServerConfig{}, func(ctx context.Context) error {
		if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) > time.Minute {
			return fmt.Errorf("%w: the deadline is %v", fleet.ErrInvalid, deadline)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestInterceptorsOfTheCallerRunInsideRecoveryAndMapping(t *testing.T) {
	t.Parallel()
	deny := func(context.Context, any, *grpc.UnaryServerInfo, grpc.UnaryHandler) (any, error) {
		return nil, fmt.Errorf("%w: no", fleet.ErrDenied)
	}
	err := call(t, rpc.ServerConfig{Unary: []grpc.UnaryServerInterceptor{deny}}, func(context.Context) error { return nil })
	if status.Code(err) != codes.PermissionDenied {
		t.Errorf("Check = %v", err)
	}
}

func TestCallsAreCountedByServerMethodAndCode(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	_ = rpc.NewServer(rpc.ServerConfig{Name: "admin", Metrics: reg}) // the same registry serves two
	_ = call(t, rpc.ServerConfig{Name: "spoke", Metrics: reg}, func(context.Context) error { return fleet.ErrNotFound })
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == "flotilla_rpc_calls_total" {
			got := family.String()
			for _, want := range []string{`value:"spoke"`, `value:"/grpc.health.v1.Health/Check"`, `value:"NotFound"`, `value:1`} {
				if !strings.Contains(strings.ReplaceAll(got, "  ", " "), want) {
					t.Errorf("no %s in %s", want, got)
				}
			}
			return
		}
	}
	t.Error("flotilla_rpc_calls_total is not there")
}

func TestServeLetsCallsInFlightFinish(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	entered := make(chan struct{})
	ctx, stop := context.WithCancel(t.Context())
	server := rpc.NewServer(rpc.ServerConfig{})
	service{check: func(context.Context) error {
		close(entered)
		<-ctx.Done()
		return nil
	}}.register(server)
	served := make(chan error, 1)
	go func() { served <- rpc.Serve(ctx, server, listener) }()
	conn, err := rpc.Dial(rpc.DialConfig{Address: listener.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	called := make(chan error, 1)
	go func() {
		_, err := healthv1.NewHealthClient(conn).Check(t.Context(), &healthv1.HealthCheckRequest{})
		called <- err
	}()
	<-entered
	stop()
	if err := <-called; err != nil {
		t.Errorf("the call in flight ended with %v", err)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve = %v, want nil", err)
	}
}

func TestHandlerSeesWhoCallsAndWithWhatToken(t *testing.T) {
	t.Parallel()
	hub, err := identity.CreateKey(filepath.Join(t.TempDir(), "hub.key"))
	if err != nil {
		t.Fatal(err)
	}
	key, _ := identity.NewClientKey()
	request, _ := identity.NewRequest(key)
	cluster := uuid.New()
	issued, err := hub.Authority().IssueClient(request, cluster, "example.org", time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	server := rpctest.Serve(t, rpc.ServerConfig{TLS: hub.Authority().ServerTLS(nil)}, service{check: func(ctx context.Context) error {
		if got := rpc.BearerToken(ctx); got != "fla1.token" {
			return fmt.Errorf("%w: token %q", fleet.ErrInvalid, got)
		}
		cert, err := rpc.PeerCertificate(ctx)
		if err != nil {
			return err
		}
		if got, err := identity.ParseClusterID(cert, "example.org"); err != nil || got != cluster {
			return fmt.Errorf("%w: cluster %s (%w)", fleet.ErrInvalid, got, err)
		}
		return nil
	}}.register)
	check := func(cert func() (*tls.Certificate, error)) error {
		conn := server.Dial(t, rpc.DialConfig{TLS: identity.PinnedClientTLS(hub.Authority().Pin(), cert), Token: "fla1.token"})
		_, err := healthv1.NewHealthClient(conn).Check(t.Context(), &healthv1.HealthCheckRequest{})
		return err
	}
	if err := check(func() (*tls.Certificate, error) {
		return &tls.Certificate{Certificate: [][]byte{issued.DER}, PrivateKey: key}, nil
	}); err != nil {
		t.Errorf("with a certificate: %v", err)
	}
	if err := check(nil); status.Code(err) != codes.PermissionDenied {
		t.Errorf("without a certificate: %v", err)
	}
}

func TestTokenIsNeverSentInTheClear(t *testing.T) {
	t.Parallel()
	if _, err := rpc.Dial(rpc.DialConfig{Address: "127.0.0.1:1", Token: "fla1.token"}); err == nil {
		t.Error("Dial accepts a token without TLS")
	}
}

func TestServeOfAProcessThatEndsAtOnceIsNoError(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	server := rpc.NewServer(rpc.ServerConfig{})
	server.Stop() // as Serve does when it comes to that before it accepts
	if err := rpc.Serve(ended, server, listener); err != nil {
		t.Errorf("Serve = %v", err)
	}
	if conn, err := net.Dial("tcp", listener.Addr().String()); err == nil {
		_ = conn.Close()
		t.Error("the listener is still open")
	}
}
