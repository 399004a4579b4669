package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/identity"
	"flotilla.dev/flotilla/pkg/rpc"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// realHub serves the admin API on loopback as a hub does, to callers with the token "right", and returns its address
// and pin.
func realHub(t *testing.T) (address, pin string) {
	t.Helper()
	root, err := identity.CreateKey(filepath.Join(t.TempDir(), "hub.key"))
	if err != nil {
		t.Fatal(err)
	}
	server := rpc.NewServer(rpc.ServerConfig{
		Name: "admin", Log: slog.New(slog.DiscardHandler), TLS: root.Authority().AdminServerTLS([]string{"127.0.0.1"}),
		Unary: []grpc.UnaryServerInterceptor{func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			if given, _ := metadata.FromIncomingContext(ctx); len(given["authorization"]) != 1 || given["authorization"][0] != "Bearer right" {
				return nil, status.Error(codes.Unauthenticated, "the token is not one of this hub")
			}
			return next(ctx, request)
		}},
	})
	adminv1.RegisterHubServiceServer(server, &fakeAdmin{fakeHub: &fakeHub{}})
	listener := listen(t)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		<-served
	})
	digest := root.Authority().Pin()
	return listener.Addr().String(), hex.EncodeToString(digest[:])
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return listener
}

// runReal runs a command line that dials over the network.
func (b *bundle) runReal(args ...string) result {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var stdout, stderr strings.Builder
	a := b.app(&stdout, &stderr)
	a.dial = dialHub
	return result{a.run(ctx, args), stdout.String(), stderr.String()}
}

func TestHubIsKnownByThePinOfItsCA(t *testing.T) {
	t.Parallel()
	address, pin := realHub(t)
	other := strings.Repeat("ab", 32)
	plain := listen(t)
	plainServer := grpc.NewServer()
	served := make(chan error, 1)
	go func() { served <- plainServer.Serve(plain) }()
	web := httptest.NewUnstartedServer(http.NotFoundHandler())
	web.Config.ErrorLog = log.New(io.Discard, "", 0)
	web.StartTLS()
	closed := listen(t)
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		web.Close()
		plainServer.Stop()
		<-served
	})
	for _, test := range []struct {
		name, address, pin, token string
		code                      exitCode
		texts                     []string
	}{
		{"the hub", address, pin, "right", exitDone, nil},
		{"pin with its algorithm", address, "sha256:" + strings.ToUpper(pin), "right", exitDone, nil},
		{"another hub", address, other, "right", exitUnreachable, []string{"shows a certificate that cannot be trusted", "--ca-pin names", "logs as caPin", "--ca-pin PIN"}},
		{"no pin", address, "", "right", exitUnreachable, []string{"shows a certificate that cannot be trusted", "this machine trusts, and no --ca-pin is given"}},
		{"no pin, another name", strings.Replace(address, "127.0.0.1", "localhost", 1), "", "right", exitUnreachable, []string{"shows a certificate for another name", "--ca-pin"}},
		{"wrong token", address, pin, "wrong", exitDenied, []string{"the hub does not know the token", "--token-file FILE"}},
		{"nobody there", closed.Addr().String(), pin, "right", exitUnreachable, []string{"cannot reach hub " + closed.Addr().String(), "connection refused", "fleetctl config view"}},
		{"no TLS", plain.Addr().String(), pin, "right", exitUnreachable, []string{"what answers there is no Flotilla hub"}},
		{"a web server", web.Listener.Addr().String(), pin, "right", exitUnreachable, []string{"what answers there is no Flotilla hub"}},
		{"no such name", "hub.invalid:9443", pin, "right", exitUnreachable, []string{"its name cannot be resolved"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBareBundle(t)
			r := b.runReal("version", "--hub", test.address, "--ca-pin", test.pin, "--token-file", b.write("token", test.token))
			if r.code != int(test.code) {
				t.Errorf("exit %d, want %d: %s", r.code, test.code, r.stderr)
			}
			wantTexts(t, "stderr", r.stderr, test.texts...)
			if lines := strings.Count(r.stderr, "\n"); test.code != exitDone && (lines < 2 || lines > 3) {
				t.Errorf("an error has %d lines:\n%s", lines, r.stderr)
			}
			if strings.Contains(r.stderr, "right") {
				t.Errorf("stderr holds the token:\n%s", r.stderr)
			}
		})
	}
}

func TestHubThatNeverAnswersIsUnreachable(t *testing.T) {
	t.Parallel()
	silent := listen(t) // takes connections and says nothing
	t.Cleanup(func() { _ = silent.Close() })
	b := newBareBundle(t)
	r := b.runReal("version", "--hub", silent.Addr().String(), "--ca-pin", pin, "--token-file", b.write("token", "right"), "--timeout", "100ms")
	if r.code != int(exitUnreachable) {
		t.Errorf("exit %d", r.code)
	}
	wantTexts(t, "stderr", r.stderr, "cannot reach hub", "no connection came about in time")
}

func TestEveryStatusHasItsExitCode(t *testing.T) {
	t.Parallel()
	for code, exit := range map[codes.Code]exitCode{
		codes.InvalidArgument: exitUsage, codes.NotFound: exitNotFound, codes.Unauthenticated: exitDenied, codes.PermissionDenied: exitDenied,
		codes.Unavailable: exitUnreachable, codes.DeadlineExceeded: exitTimeout, codes.FailedPrecondition: exitPrecondition,
		codes.AlreadyExists: exitPrecondition, codes.Aborted: exitPrecondition, codes.OutOfRange: exitPrecondition,
		codes.Unimplemented: exitPrecondition, codes.Internal: exitGeneral, codes.Unknown: exitGeneral, codes.ResourceExhausted: exitGeneral,
		codes.DataLoss: exitGeneral,
	} {
		t.Run(code.String(), func(t *testing.T) {
			t.Parallel()
			b := newFleet(t)
			b.hub.fail("List", status.Error(code, "so it is"))
			r := b.fails(exit, []string{"Error: "}, "get", "ks")
			want(t, "stdout", r.stdout, "")
			if lines := strings.Count(r.stderr, "\n"); lines != 3 && code != codes.DataLoss {
				t.Errorf("it is not told in three lines:\n%s", r.stderr)
			}
		})
	}
}

func TestHubWithoutItsDatabaseIsNotUnreachable(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	b.hub.fail("List", rpc.Status(fmt.Errorf("list Kustomization: %w: the database does not answer", fleet.ErrUnavailable)))
	r := b.fails(exitUnreachable, []string{"get kustomizations: hub hub.example.com:9443 answers: list Kustomization: not available now: the database does not answer",
		"try: again when its database is back"}, "get", "ks")
	if strings.Contains(r.stderr, "network") {
		t.Errorf("advice about the network:\n%s", r.stderr)
	}
}

func TestHelpOnExitCodesNamesAllOfThem(t *testing.T) {
	t.Parallel()
	r := newBareBundle(t).ok("help", "exit-codes")
	for _, code := range []string{"    0  ", "    1  ", "    2  ", "    3  ", "    4  ", "    5  ", "    6  ", "    7  ", "    8  ", "   10  ", "  130  "} {
		wantTexts(t, "help", r.stdout, code)
	}
}
