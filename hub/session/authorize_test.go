package session_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc/codes"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/identity"
	"flotilla.dev/flotilla/pkg/resource"
	spokev1 "flotilla.dev/flotilla/proto/flotilla/spoke/v1"
)

func TestCallsWithoutTheRightCertificateAreDenied(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	s := b.enrol("prod-1")
	otherRoot, err := identity.CreateKey(t.TempDir() + "/other.key")
	if err != nil {
		t.Fatal(err)
	}
	key, request := newKey(t)
	foreign, err := otherRoot.Authority().IssueClient(request, uuid.New(), identity.DefaultTrustDomain, time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.dial(nil).Report(t.Context(), &spokev1.ReportRequest{})
	wantCode(t, err, codes.PermissionDenied)
	_, err = b.as(key, foreign.DER, "", "x").Report(t.Context(), &spokev1.ReportRequest{})
	wantCode(t, err, codes.Unavailable) // the handshake fails
	elsewhere, err := b.root.Authority().IssueClient(request, uuid.New(), "elsewhere.example", time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.as(key, elsewhere.DER, "", "x").Report(t.Context(), &spokev1.ReportRequest{})
	wantCode(t, err, codes.PermissionDenied)
	if _, err := b.DeleteObject(t.Context(), admin, resource.Deletion{Kind: "Cluster", Name: "prod-1", Now: true}); err != nil {
		t.Fatal(err)
	}
	_, err = s.Report(t.Context(), &spokev1.ReportRequest{Session: 1, Sequence: 1})
	wantCode(t, err, codes.PermissionDenied) // revoked
}

func TestSpokeCanActForItsOwnClusterAlone(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	s := b.enrol("prod-1")
	b.release("one")
	session := s.connect(nil)
	generation := decode(t, session.desired()).Generation
	question := b.ask(s, session)

	stranger := b.enrol("prod-2") // the App is not rolled out to it yet
	number := stranger.connect(nil).welcome.GetSession()
	for number == session.welcome.GetSession() { // so that the numbers tell them apart
		number = stranger.connect(nil).welcome.GetSession()
	}
	_, _, err := stranger.fetch(generation, fleet.Digest{})
	wantCode(t, err, codes.NotFound)
	wantCode(t, stranger.answer(question.ID, []byte("false")), codes.NotFound)
	_, err = stranger.Report(t.Context(), &spokev1.ReportRequest{Session: session.welcome.GetSession(), Sequence: 9, Reports: []*spokev1.AssignmentReport{settled()}})
	wantCode(t, err, codes.FailedPrecondition)
	if _, err := stranger.Report(t.Context(), &spokev1.ReportRequest{Session: number, Sequence: 9, Reports: []*spokev1.AssignmentReport{settled()}}); err != nil {
		t.Errorf("of its own cluster: %v", err)
	}
	if got := b.instance(s); got.Report != nil {
		t.Errorf("prod-1 is said to be %+v", got.Report)
	}
	if err := s.answer(question.ID, []byte("true")); err != nil {
		t.Errorf("the one who was asked: %v", err)
	}
	if got, err := b.Store.Answer(t.Context(), question); err != nil || string(got) != "true" {
		t.Errorf("answer %q, error %v", got, err)
	}
}
