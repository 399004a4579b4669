package session_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc/codes"

	"flotilla.dev/flotilla/hub/session"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/identity"
	"flotilla.dev/flotilla/pkg/rpc"
	"flotilla.dev/flotilla/pkg/rpc/rpctest"
	"flotilla.dev/flotilla/pkg/run"
	spokev1 "flotilla.dev/flotilla/proto/flotilla/spoke/v1"
	"flotilla.dev/flotilla/test/lab"
)

// patience is for what only a broken hub does not do.
const patience = time.Minute

// idleStore is a store of one cluster that has no Assignments, and may stop answering.
type idleStore struct {
	session.Store
	hung atomic.Bool
}

func (s *idleStore) Admit(context.Context, string, fleet.Certificate) error          { return nil }
func (s *idleStore) CloseSession(context.Context, fleet.Session) error               { return nil }
func (s *idleStore) DisconnectSilent(context.Context, time.Duration) error           { return nil }
func (s *idleStore) TakeQuestions(context.Context, string) ([]fleet.Question, error) { return nil, nil }

func (s *idleStore) OpenSession(_ context.Context, cluster string, _ fleet.StateID, _ fleet.ClusterFacts) (fleet.Session, error) {
	return fleet.Session{Cluster: cluster, Number: 1, Epoch: 1}, nil
}

func (s *idleStore) DesiredState(ctx context.Context, _ fleet.Session, _ fleet.StateID) (fleet.Desired, fleet.StateID, string, error) {
	if s.hung.Load() {
		<-ctx.Done()
		return nil, fleet.StateID{}, "", fmt.Errorf("%w: the database does not answer", fleet.ErrUnavailable)
	}
	return fleet.Desired{}, fleet.StateID{Epoch: 1, Version: 1, Digest: fleet.DesiredDigest(nil)}, "", nil
}

// idle runs a test in its own time, with a session whose certificate is good for an hour and that has got its state.
func idle(t *testing.T, test func(t *testing.T, store *idleStore, wake run.Wake, stream spokev1.SpokeService_ConnectClient)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		root, err := identity.CreateKey(t.TempDir() + "/hub.key")
		if err != nil {
			t.Fatal(err)
		}
		store, wake, log := &idleStore{}, run.NewWake(), slog.New(slog.DiscardHandler)
		sessions := session.New(session.Config{
			Store: store, Authority: root.Authority(), StateKey: root.StateKey(), TrustDomain: identity.DefaultTrustDomain, Log: log,
			Watch: func(string) (run.Wake, func()) { return wake, func() {} },
		})
		server := rpctest.Serve(t, rpc.ServerConfig{TLS: root.Authority().ServerTLS(nil), Log: log, Authorize: sessions.Authorize}, sessions.Register)
		key, request := newKey(t)
		issued, err := root.Authority().IssueClient(request, uuid.New(), identity.DefaultTrustDomain, time.Hour, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		cert := &tls.Certificate{Certificate: [][]byte{issued.DER}, PrivateKey: key}
		conn := server.Dial(t, rpc.DialConfig{TLS: identity.PinnedClientTLS(root.Authority().Pin(), func() (*tls.Certificate, error) { return cert, nil })})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		stream, err := spokev1.NewSpokeServiceClient(conn).Connect(ctx, &spokev1.ConnectRequest{Protocol: 1, ProtocolMin: 1})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // the Welcome and the state
			if _, err := stream.Recv(); err != nil {
				t.Fatal(err)
			}
		}
		test(t, store, wake, stream)
	})
}

// beat is how long the next message took, which must be a heartbeat.
func beat(t *testing.T, stream spokev1.SpokeService_ConnectClient) time.Duration {
	t.Helper()
	begun := time.Now()
	message, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	if message.GetHeartbeat() == nil {
		t.Errorf("came %v, not a heartbeat", message)
	}
	return time.Since(begun)
}

func TestHeartbeatsComeEveryPeriod(t *testing.T) {
	idle(t, func(t *testing.T, _ *idleStore, wake run.Wake, stream spokev1.SpokeService_ConnectClient) {
		for range 3 {
			wake.Set() // to no news
			if took := beat(t, stream); took != 15*time.Second {
				t.Errorf("a heartbeat after %s", took)
			}
		}
	})
}

// A spoke leaves a hub that it has not heard of for three periods; it would come back to the same database.
func TestDatabaseThatDoesNotAnswerSilencesNoHeartbeats(t *testing.T) {
	idle(t, func(t *testing.T, store *idleStore, wake run.Wake, stream spokev1.SpokeService_ConnectClient) {
		store.hung.Store(true)
		for range 5 {
			wake.Set()
			if took := beat(t, stream); took > 30*time.Second {
				t.Errorf("a heartbeat after %s", took)
			}
		}
	})
}

func TestStreamEndsWhenItsCertificateRunsOut(t *testing.T) {
	idle(t, func(t *testing.T, _ *idleStore, _ run.Wake, stream spokev1.SpokeService_ConnectClient) {
		begun := time.Now()
		var err error
		for err == nil {
			_, err = stream.Recv()
		}
		wantCode(t, err, codes.Unauthenticated)
		if took := time.Since(begun); took > time.Hour {
			t.Errorf("it ended after %s", took)
		}
	})
}

func TestClusterThatIsSilentIsDisconnectedUntilItReports(t *testing.T) {
	t.Parallel()
	b := newBundle(t, func(c *session.Config) { c.Heartbeat = 300 * time.Millisecond })
	s := b.enrol("prod-1")
	stream := s.connect(nil)
	connected := func(want bool) {
		t.Helper()
		lab.Eventually(t, patience, fmt.Sprintf("connected is %t", want), func() error {
			statuses, err := b.ClusterStatuses(t.Context())
			if err == nil && statuses["prod-1"].Connected != want {
				err = fmt.Errorf("it is %t", !want)
			}
			return err
		})
	}
	connected(false)
	if _, err := stream.Recv(); err != nil {
		t.Errorf("the stream ended: %v", err)
	}
	if _, err := s.Report(t.Context(), &spokev1.ReportRequest{Session: stream.welcome.GetSession(), Sequence: 1}); err != nil {
		t.Fatal(err)
	}
	connected(true)
}
