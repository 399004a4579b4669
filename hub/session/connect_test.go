package session_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"flotilla.dev/flotilla/hub/session"
	"flotilla.dev/flotilla/pkg/resource"
	spokev1 "flotilla.dev/flotilla/proto/flotilla/spoke/v1"
	"flotilla.dev/flotilla/test/lab"
)

func TestUnchangedReconnectCostsAWelcome(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	s := b.enrol("prod-1")
	b.release("one")
	state := s.connect(nil).desired().GetResult()
	again := s.connect(state)
	if !again.welcome.GetUnchanged() {
		t.Fatal("not unchanged")
	}
	b.release("two")
	if got := again.desired(); got.GetBase().GetVersion() != state.GetVersion() {
		t.Errorf("not a delta on what the spoke held: %v", got)
	}
}

func TestOlderSessionIsEndedByANewer(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	s := b.enrol("prod-1")
	old := s.connect(nil)
	s.connect(nil)
	wantCode(t, old.end(), codes.Aborted)
	_, err := s.Report(t.Context(), &spokev1.ReportRequest{Session: old.welcome.GetSession(), Sequence: 1})
	wantCode(t, err, codes.FailedPrecondition)
}

func TestSpokeOfAnEmptiedDatabaseIsTakenInAgainInSafeMode(t *testing.T) {
	t.Parallel()
	before := newBundle(t)
	s := before.enrol("prod-1")
	before.release("one")
	held := s.connect(nil).desired().GetResult()

	after := newBundleOf(t, before.root)
	again := after.as(s.key, s.cert.Certificate[0], s.cluster, s.name)
	session := again.connect(held)
	if !session.welcome.GetSafeMode() || session.welcome.GetUnchanged() {
		t.Fatalf("welcome %v", session.welcome)
	}
	statuses, err := after.ClusterStatuses(t.Context())
	if err != nil || statuses["prod-1"].ID != s.cluster || statuses["prod-1"].SafeMode == "" {
		t.Fatalf("clusters %+v, error %v", statuses, err)
	}
	if _, err := after.EndRecovery(t.Context(), admin, false); err != nil {
		t.Fatal(err)
	}
	if got := session.desired(); got.GetResult().GetEpoch() != held.GetEpoch()+1 {
		t.Errorf("after recovery: %v", got)
	}
}

func TestSpokeOfADeletedClusterIsLetGoAtOnceAndLetInNoMore(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	s := b.enrol("prod-1")
	b.release("one")
	session := s.connect(nil)
	session.desired()
	if _, err := b.DeleteObject(t.Context(), admin, resource.Deletion{Kind: "Cluster", Name: "prod-1", Now: true}); err != nil {
		t.Fatal(err)
	}
	wantCode(t, session.end(), codes.Aborted)
	for method, err := range s.refusals() {
		if status.Code(err) != codes.PermissionDenied || !strings.Contains(err.Error(), "deleted from the fleet") {
			t.Errorf("%s: %v", method, err)
		}
	}
	_, err := b.renew(s)
	wantCode(t, err, codes.PermissionDenied)
}

func TestSpokeOfAVersionTooFarAwayIsToldBoth(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	s := b.enrol("prod-1")
	for _, c := range []struct {
		newest, oldest uint32
		words          string
	}{
		{session.Protocol + 2, session.Protocol + 1, "the spoke speaks protocol 2 to 3 and this hub 1"},
		{session.Protocol - 1, session.Protocol - 1, "the spoke speaks protocol 0 to 0 and this hub 1"},
	} {
		stream, err := s.Connect(t.Context(), &spokev1.ConnectRequest{Protocol: c.newest, ProtocolMin: c.oldest, ClusterName: s.name})
		if err != nil {
			t.Fatal(err)
		}
		_, err = stream.Recv()
		if status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%v, want %q", err, c.words)
		}
	}
}

func TestSessionsAreOpenedAtABoundedRateThatHoldsUpNothingElse(t *testing.T) {
	t.Parallel()
	b := newBundle(t, func(c *session.Config) { c.ConnectRate = 1e-6 })
	s := b.enrol("prod-1")
	first := s.connect(nil)
	ctx, cancel := context.WithCancel(t.Context())
	second, err := s.Connect(ctx, &spokev1.ConnectRequest{Protocol: 1, ProtocolMin: 1, ClusterName: s.name})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Report(t.Context(), &spokev1.ReportRequest{Session: first.welcome.GetSession(), Sequence: 1}); err != nil {
		t.Errorf("a report while another waits to connect: %v", err)
	}
	lab.Eventually(t, patience, "the second waits", func() error {
		if open, sessions := b.gauge("flotilla_rpc_open_streams"), b.gauge("flotilla_hub_sessions"); open != 2 || sessions != 1 {
			return fmt.Errorf("%g streams, %g sessions", open, sessions)
		}
		return nil
	})
	cancel()
	_, err = second.Recv()
	wantCode(t, err, codes.Canceled)
	lab.Eventually(t, patience, "the second is forgotten", func() error {
		if open := b.gauge("flotilla_rpc_open_streams"); open != 1 {
			return fmt.Errorf("%g streams", open)
		}
		return nil
	})
	hurried, cancel := context.WithTimeout(t.Context(), patience) // less than its turn takes
	defer cancel()
	third, err := s.Connect(hurried, &spokev1.ConnectRequest{Protocol: 1, ProtocolMin: 1, ClusterName: s.name})
	if err != nil {
		t.Fatal(err)
	}
	_, err = third.Recv()
	wantCode(t, err, codes.Unavailable)
	if statuses, err := b.ClusterStatuses(t.Context()); err != nil || !statuses["prod-1"].Connected {
		t.Errorf("clusters %+v, error %v", statuses, err)
	}
}
