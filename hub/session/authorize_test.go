package session_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc/codes"

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

func TestRenewedCertificateReplacesTheOldAtItsFirstUse(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	old := b.enrol("prod-1")
	key, request := newKey(t)
	resp, err := old.Renew(t.Context(), &spokev1.RenewRequest{CertificateRequest: request})
	if err != nil {
		t.Fatal(err)
	}
	number := old.connect(nil).welcome.GetSession() // both are good until then
	next := b.as(key, resp.GetCredentials().GetCertificate(), old.cluster, old.name)
	if got := next.connect(nil).welcome.GetSession(); got <= number {
		t.Errorf("session %d after %d", got, number)
	}
	_, err = old.Report(t.Context(), &spokev1.ReportRequest{Session: number, Sequence: 1})
	wantCode(t, err, codes.PermissionDenied)
}
