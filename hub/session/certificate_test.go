package session_test

import (
	"crypto"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/identity"
	"flotilla.dev/flotilla/pkg/resource"
	spokev1 "flotilla.dev/flotilla/proto/flotilla/spoke/v1"
)

// issue makes a certificate of the root that ran out so long ago, for a new key.
func issue(t *testing.T, root identity.Root, cluster, trustDomain string, ago time.Duration) (crypto.Signer, identity.Issued) {
	t.Helper()
	key, request := newKey(t)
	issued, err := root.Authority().IssueClient(request, uuid.MustParse(cluster), trustDomain, 24*time.Hour, time.Now().Add(-24*time.Hour-ago))
	if err != nil {
		t.Fatal(err)
	}
	return key, issued
}

// expired is the spoke with a certificate in use that ran out so long ago.
func (b *bundle) expired(s *spoke, ago time.Duration) *spoke {
	b.t.Helper()
	key, issued := issue(b.t, b.root, s.cluster, identity.DefaultTrustDomain, ago)
	certificate := fleet.Certificate{Serial: issued.Serial, IssuedAt: issued.NotBefore}
	if err := errors.Join(b.IssuedCertificate(b.t.Context(), s.cluster, certificate), b.Admit(b.t.Context(), s.cluster, certificate)); err != nil {
		b.t.Fatal(err)
	}
	return b.as(key, issued.DER, s.cluster, s.name)
}

// renew returns the spoke with the next certificate.
func (b *bundle) renew(s *spoke) (*spoke, error) {
	key, request := newKey(b.t)
	resp, err := s.Renew(b.t.Context(), &spokev1.RenewRequest{CertificateRequest: request})
	if err != nil {
		return nil, err
	}
	return b.as(key, resp.GetCredentials().GetCertificate(), s.cluster, s.name), nil
}

func (b *bundle) mustRenew(s *spoke) *spoke {
	b.t.Helper()
	next, err := b.renew(s)
	if err != nil {
		b.t.Fatal(err)
	}
	return next
}

// refusals are what each call but Renew is answered.
func (s *spoke) refusals() map[string]error {
	errs := map[string]error{}
	connect, err := s.Connect(s.t.Context(), &spokev1.ConnectRequest{Protocol: 1, ProtocolMin: 1, ClusterName: s.name})
	if err == nil {
		_, err = connect.Recv()
	}
	errs["Connect"] = err
	_, errs["Report"] = s.Report(s.t.Context(), &spokev1.ReportRequest{Session: 1, Sequence: 1})
	_, _, errs["Fetch"] = s.fetch(1, fleet.Digest{})
	answer, err := s.Answer(s.t.Context())
	if err == nil {
		_, err = answer.CloseAndRecv()
	}
	errs["Answer"] = err
	return errs
}

// sql runs a statement beside the store.
func (b *bundle) sql(statement string, args ...any) {
	b.t.Helper()
	conn, err := pgx.Connect(b.t.Context(), b.url)
	if err != nil {
		b.t.Fatal(err)
	}
	defer conn.Close(b.t.Context())
	if _, err := conn.Exec(b.t.Context(), statement, args...); err != nil {
		b.t.Fatal(err)
	}
}

func TestCertificateThatRanOutIsGoodForRenewingAlone(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	s := b.expired(b.enrol("prod-1"), 3*24*time.Hour)
	b.release("one")
	for method, err := range s.refusals() {
		if status.Code(err) != codes.Unauthenticated || !strings.Contains(status.Convert(err).Message(), "renew it") {
			t.Errorf("%s: %v, want a refusal that says to renew", method, err)
		}
	}
	next := b.mustRenew(s)
	if got := next.connect(nil).desired(); len(got.GetItems()) != 1 {
		t.Errorf("with the next certificate came %v", got)
	}
	_, err := b.renew(s)
	wantCode(t, err, codes.PermissionDenied) // replaced by the next one's use
}

func TestCertificateThatRanOutMustBeTheClustersToRenew(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	other, err := identity.CreateKey(t.TempDir() + "/other.key")
	if err != nil {
		t.Fatal(err)
	}
	enrolled := b.enrol("prod-1")
	late := b.expired(enrolled, 31*24*time.Hour)
	replaced := b.expired(enrolled, time.Hour)
	b.expired(enrolled, time.Minute)
	deleted := b.expired(b.enrol("prod-2"), time.Hour)
	if _, err := b.DeleteObject(t.Context(), admin, resource.Deletion{Kind: "Cluster", Name: "prod-2", Now: true}); err != nil {
		t.Fatal(err)
	}
	strangersKey, strangers := issue(t, other, enrolled.cluster, identity.DefaultTrustDomain, time.Hour)
	elsewheresKey, elsewheres := issue(t, b.root, enrolled.cluster, "elsewhere.example", time.Hour)
	for name, c := range map[string]struct {
		spoke *spoke
		code  codes.Code
		words string
	}{
		"of too long ago":         {late, codes.PermissionDenied, "it needs a new join token"},
		"replaced":                {replaced, codes.PermissionDenied, "replaced by a newer one"},
		"of a deleted cluster":    {deleted, codes.PermissionDenied, "deleted from the fleet"},
		"of another trust domain": {b.as(elsewheresKey, elsewheres.DER, "", ""), codes.PermissionDenied, "elsewhere.example"},
		"of another CA":           {b.as(strangersKey, strangers.DER, "", ""), codes.Unavailable, ""}, // the handshake fails, in whatever words
	} {
		_, err := b.renew(c.spoke)
		if status.Code(err) != c.code || !strings.Contains(status.Convert(err).Message(), c.words) {
			t.Errorf("%s: %v, want %s: %s", name, err, c.code, c.words)
		}
	}
}

// The database was emptied, and the hub down for so long that the certificates ran out.
func TestSpokeOfAnEmptiedDatabaseRenewsACertificateThatRanOut(t *testing.T) {
	t.Parallel()
	before := newBundle(t)
	enrolled := before.enrol("prod-1")
	s := before.expired(enrolled, 2*24*time.Hour)
	after := newBundleOf(t, before.root)
	next := after.mustRenew(after.as(s.key, s.cert.Certificate[0], s.cluster, s.name))
	next.connect(nil)
	statuses, err := after.ClusterStatuses(t.Context())
	if err != nil || statuses["prod-1"].ID != s.cluster || !statuses["prod-1"].Enrolled {
		t.Errorf("clusters %+v, error %v", statuses, err)
	}
}

// A restored database knows none of the certificates that spokes have got since.
func TestCertificateThatIsNewerThanARestoredDatabaseIsGood(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	for name, older := range map[string]string{
		"before-renewals":         `serial = 'old', next_serial = NULL, certified_at = now() - interval '1 day'`,
		"before-a-renewals-use":   `serial = 'old', next_serial = 'old too', certified_at = now() - interval '1 day'`,
		"before-the-enrolment":    `serial = NULL, next_serial = NULL, certified_at = NULL, enrolled_at = NULL`,
		"before-it-enrolled-anew": `serial = 'of another spoke', next_serial = NULL, certified_at = now() - interval '1 day'`,
	} {
		s := b.enrol(name)
		b.sql(`UPDATE cluster SET `+older+` WHERE id = $1`, s.cluster)
		if number := s.connect(nil).welcome.GetSession(); number == 0 {
			t.Errorf("%s: no session", name)
		}
		next := b.mustRenew(s)
		next.connect(nil)
		_, err := s.Report(t.Context(), &spokev1.ReportRequest{Session: 1, Sequence: 1})
		wantCode(t, err, codes.PermissionDenied) // it is as any other from then on
		if statuses, err := b.ClusterStatuses(t.Context()); err != nil || !statuses[name].Enrolled {
			t.Errorf("%s: clusters %+v, error %v", name, statuses, err)
		}
	}
}

func TestRenewedCertificateReplacesTheOldAtItsFirstUse(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	old := b.enrol("prod-1")
	next := b.mustRenew(old)
	session := old.connect(nil) // both are good until then
	if got := next.connect(nil).welcome.GetSession(); got <= session.welcome.GetSession() {
		t.Errorf("session %d after %d", got, session.welcome.GetSession())
	}
	wantCode(t, session.end(), codes.Aborted)
	for method, err := range old.refusals() {
		if status.Code(err) != codes.PermissionDenied {
			t.Errorf("%s with the old one: %v", method, err)
		}
	}
}

func TestOfCertificatesThatWereRenewedTwiceTheUnusedFirstIsRefused(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	old := b.enrol("prod-1")
	first, second := b.mustRenew(old), b.mustRenew(old)
	_, err := b.renew(first)
	wantCode(t, err, codes.PermissionDenied)
	old.connect(nil)
	second.connect(nil)
	_, err = b.renew(old)
	wantCode(t, err, codes.PermissionDenied)
}

// A spoke that was lost, or is somebody else's by now, holds a certificate and a stream.
func TestClusterThatJoinsAnewEndsTheStreamAndTheCertificateBefore(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	old := b.enrol("prod-1")
	session := old.connect(nil)
	key, request := newKey(t)
	resp, err := b.dial(nil).Enroll(t.Context(), &spokev1.EnrollRequest{Token: b.token("prod-1", true), CertificateRequest: request})
	if err != nil {
		t.Fatal(err)
	}
	wantCode(t, session.end(), codes.Aborted) // before the new spoke connects
	for method, err := range old.refusals() {
		if status.Code(err) != codes.PermissionDenied {
			t.Errorf("%s with the old one: %v", method, err)
		}
	}
	if resp.GetClusterId() != old.cluster {
		t.Errorf("it joined as cluster %s, not %s", resp.GetClusterId(), old.cluster)
	}
	b.as(key, resp.GetCredentials().GetCertificate(), old.cluster, old.name).connect(nil)
}
