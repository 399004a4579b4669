package identity_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/google/uuid"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/identity"
)

// handshake connects the two and returns what the server saw, and both errors.
func handshake(server, client *tls.Config) (state tls.ConnectionState, serverErr, clientErr error) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	done := make(chan error, 1)
	s := tls.Server(a, server)
	go func() {
		err := s.Handshake()
		if err == nil {
			_, err = s.Write([]byte("x"))
		}
		a.Close()
		done <- err
	}()
	c := tls.Client(b, client)
	clientErr = c.Handshake()
	if clientErr == nil {
		// In TLS 1.3 a client learns only now whether its certificate was accepted.
		_, clientErr = io.ReadFull(c, make([]byte, 1))
	}
	b.Close()
	serverErr = <-done
	return s.ConnectionState(), serverErr, clientErr
}

func clientCert(t *testing.T, hub identity.Root, cluster uuid.UUID, ttl time.Duration, now time.Time) func() (*tls.Certificate, error) {
	t.Helper()
	key := newClientKey(t)
	issued, err := hub.Authority().IssueClient(newRequest(t, key), cluster, domain, ttl, now)
	if err != nil {
		t.Fatal(err)
	}
	return func() (*tls.Certificate, error) {
		return &tls.Certificate{Certificate: [][]byte{issued.DER}, PrivateKey: key}, nil
	}
}

func TestPinnedClientAndHubKnowEachOther(t *testing.T) {
	t.Parallel()
	hub, _ := newRoot(t)
	cluster := uuid.New()
	server := hub.Authority().ServerTLS([]string{"localhost", "127.0.0.1"})
	state, serverErr, clientErr := handshake(server, identity.PinnedClientTLS(hub.Authority().Pin(), clientCert(t, hub, cluster, time.Hour, time.Now())))
	if serverErr != nil || clientErr != nil {
		t.Fatal(serverErr, clientErr)
	}
	if state.Version != tls.VersionTLS13 || state.NegotiatedProtocol != "h2" {
		t.Errorf("TLS version %x, protocol %q", state.Version, state.NegotiatedProtocol)
	}
	if got, err := identity.ParseClusterID(state.PeerCertificates[0], domain); err != nil || got != cluster {
		t.Errorf("the server saw cluster %s (%v), want %s", got, err, cluster)
	}
}

func TestSpokeWithoutACertificateMayConnectToEnrol(t *testing.T) {
	t.Parallel()
	hub, _ := newRoot(t)
	state, serverErr, clientErr := handshake(hub.Authority().ServerTLS(nil), identity.PinnedClientTLS(hub.Authority().Pin(), nil))
	if serverErr != nil || clientErr != nil || len(state.PeerCertificates) != 0 {
		t.Errorf("server %v, client %v, certificates %d", serverErr, clientErr, len(state.PeerCertificates))
	}
}

func TestClientCertificateThatIsNotValidIsRefusedByTheHub(t *testing.T) {
	t.Parallel()
	hub, _ := newRoot(t)
	other, _ := newRoot(t)
	now := time.Now()
	serverCert, err := hub.Authority().IssueServer([]string{"x"}, now)
	if err != nil {
		t.Fatal(err)
	}
	for name, cert := range map[string]func() (*tls.Certificate, error){
		"of another hub":       clientCert(t, other, uuid.New(), time.Hour, now),
		"of another hub, out":  clientCert(t, other, uuid.New(), time.Hour, now.Add(-2*time.Hour)),
		"of tomorrow":          clientCert(t, hub, uuid.New(), time.Hour, now.Add(24*time.Hour)),
		"a server certificate": func() (*tls.Certificate, error) { return serverCert, nil },
	} {
		_, serverErr, clientErr := handshake(hub.Authority().ServerTLS(nil), identity.PinnedClientTLS(hub.Authority().Pin(), cert))
		if serverErr == nil || clientErr == nil {
			t.Errorf("%s: server %v, client %v, want refusals", name, serverErr, clientErr)
		}
	}
}

// It is the server's to let it do no more than renew.
func TestClientCertificateThatRanOutIsLetIn(t *testing.T) {
	t.Parallel()
	hub, _ := newRoot(t)
	cert := clientCert(t, hub, uuid.New(), time.Hour, time.Now().Add(-90*24*time.Hour))
	state, serverErr, clientErr := handshake(hub.Authority().ServerTLS(nil), identity.PinnedClientTLS(hub.Authority().Pin(), cert))
	if serverErr != nil || clientErr != nil || len(state.PeerCertificates) != 1 {
		t.Errorf("server %v, client %v, certificates %d", serverErr, clientErr, len(state.PeerCertificates))
	}
}

func TestOnlyAClientCertificateOfTheCAIsVerifiedWhateverItsEnd(t *testing.T) {
	t.Parallel()
	hub, _ := newRoot(t)
	other, _ := newRoot(t)
	now := time.Now()
	serverCert, err := hub.Authority().IssueServer(nil, now)
	if err != nil {
		t.Fatal(err)
	}
	issued := func(by identity.Root, at time.Time) *x509.Certificate {
		cert, err := clientCert(t, by, uuid.New(), time.Hour, at)()
		if err != nil {
			t.Fatal(err)
		}
		return parse(t, cert.Certificate[0])
	}
	for name, c := range map[string]struct {
		cert *x509.Certificate
		want error
	}{
		"of today":              {issued(hub, now), nil},
		"that ran out":          {issued(hub, now.Add(-365*24*time.Hour)), nil},
		"of tomorrow":           {issued(hub, now.Add(24*time.Hour)), fleet.ErrDenied},
		"of another CA":         {issued(other, now), fleet.ErrDenied},
		"of another CA and out": {issued(other, now.Add(-2*time.Hour)), fleet.ErrDenied},
		"of a server":           {serverCert.Leaf, fleet.ErrDenied},
	} {
		if err := hub.Authority().VerifyClient(c.cert, now); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestServerThatIsNotThePinnedHubIsRefused(t *testing.T) {
	t.Parallel()
	hub, _ := newRoot(t)
	other, _ := newRoot(t)
	pinned := identity.PinnedClientTLS(hub.Authority().Pin(), nil)

	// Another hub that sends the pinned CA along without having its key.
	impostor, err := other.Authority().IssueServer(nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	impostor.Certificate = append(impostor.Certificate, hub.Authority().Certificate().Raw)
	// A cluster of the hub that plays hub.
	spoke, err := clientCert(t, hub, uuid.New(), time.Hour, time.Now())()
	if err != nil {
		t.Fatal(err)
	}
	spoke.Certificate = append(spoke.Certificate, hub.Authority().Certificate().Raw)
	// The hub, as seen by a machine whose clock is a year ahead.
	old, err := hub.Authority().IssueServer(nil, time.Now().Add(-365*24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	for name, cert := range map[string]*tls.Certificate{"impostor": impostor, "a spoke as hub": spoke, "expired": old} {
		server := &tls.Config{Certificates: []tls.Certificate{*cert}, NextProtos: []string{"h2"}}
		if _, _, err := handshake(server, pinned); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, _, err := handshake(other.Authority().ServerTLS(nil), pinned); !errors.Is(err, fleet.ErrDenied) {
		t.Errorf("another hub: %v, want %v", err, fleet.ErrDenied)
	}
}

func TestOnlyTLS13IsSpoken(t *testing.T) {
	t.Parallel()
	hub, _ := newRoot(t)
	for name, server := range map[string]*tls.Config{
		"spokes": hub.Authority().ServerTLS(nil), "people": hub.Authority().AdminServerTLS(nil),
	} {
		client := identity.PinnedClientTLS(hub.Authority().Pin(), nil)
		client.MinVersion, client.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
		if _, serverErr, clientErr := handshake(server, client); serverErr == nil || clientErr == nil {
			t.Errorf("%s: TLS 1.2 is accepted", name)
		}
		if !server.SessionTicketsDisabled {
			t.Errorf("%s: session tickets are on", name)
		}
	}
}

func TestServerCertificateIsValidForItsHostsToOtherClients(t *testing.T) {
	t.Parallel()
	hub, _ := newRoot(t)
	cert, err := hub.Authority().IssueServer([]string{"hub.example.org", "10.0.0.1"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(hub.Authority().Certificate())
	for _, host := range []string{"hub.example.org", "10.0.0.1"} {
		if _, err := cert.Leaf.Verify(x509.VerifyOptions{DNSName: host, Roots: roots}); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
}
