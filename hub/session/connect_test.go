package session_test

import (
	"testing"

	"google.golang.org/grpc/codes"

	spokev1 "flotilla.dev/flotilla/proto/flotilla/spoke/v1"
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
	for {
		if _, err := old.Recv(); err != nil {
			wantCode(t, err, codes.Aborted)
			break
		}
	}
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
