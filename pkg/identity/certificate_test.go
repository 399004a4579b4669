package identity_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"net/url"
	"testing"
	"time"

	"github.com/google/uuid"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/identity"
)

const domain = "example.org"

func newRequest(t *testing.T, key crypto.Signer) []byte {
	t.Helper()
	request, err := identity.NewRequest(key)
	if err != nil {
		t.Fatal(err)
	}
	return request
}

func newClientKey(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := identity.NewClientKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func parse(t *testing.T, der []byte) *x509.Certificate {
	t.Helper()
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestClientCertificateIsTheHubsTemplateWhateverTheRequestAsksFor(t *testing.T) {
	t.Parallel()
	root, _ := newRoot(t)
	key := newClientKey(t)
	evil, _ := url.Parse("spiffe://example.org/cluster/" + uuid.NewString())
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject:         pkix.Name{CommonName: "admin"},
		DNSNames:        []string{"hub.example.org"},
		URIs:            []*url.URL{evil},
		ExtraExtensions: []pkix.Extension{{Id: []int{2, 5, 29, 19}, Critical: true, Value: []byte{0x30, 3, 1, 1, 0xff}}},
	}, key)
	if err != nil {
		t.Fatal(err)
	}
	cluster, now := uuid.New(), time.Now()
	issued, err := root.Authority().IssueClient(request, cluster, domain, 24*time.Hour, now)
	if err != nil {
		t.Fatal(err)
	}
	cert := parse(t, issued.DER)
	if len(cert.URIs) != 1 || cert.URIs[0].String() != "spiffe://example.org/cluster/"+cluster.String() {
		t.Errorf("URIs = %v", cert.URIs)
	}
	if len(cert.DNSNames) != 0 || cert.Subject.CommonName != "" || cert.IsCA {
		t.Errorf("names %v, subject %s, CA %t were taken from the request", cert.DNSNames, cert.Subject, cert.IsCA)
	}
	if len(cert.ExtKeyUsage) != 1 || cert.ExtKeyUsage[0] != x509.ExtKeyUsageClientAuth {
		t.Errorf("extended key usage = %v", cert.ExtKeyUsage)
	}
	if got := cert.SerialNumber.BitLen(); got != 127 {
		t.Errorf("serial number has %d bits", got)
	}
	if issued.Serial != identity.Serial(cert) || !issued.NotAfter.Equal(cert.NotAfter) {
		t.Errorf("Issued says %s until %s, the certificate %s until %s", issued.Serial, issued.NotAfter, identity.Serial(cert), cert.NotAfter)
	}
	if left := cert.NotAfter.Sub(now); left > 24*time.Hour || left < 24*time.Hour-time.Second {
		t.Errorf("it lives %s", left)
	}
	if got, err := identity.ParseClusterID(cert, domain); err != nil || got != cluster {
		t.Errorf("ParseClusterID = %s, %v, want %s", got, err, cluster)
	}
}

func TestRequestWithAKeyThatIsNotAllowedOrNotItsOwnIsRefused(t *testing.T) {
	t.Parallel()
	root, _ := newRoot(t)
	p224, _ := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	weak, _ := rsa.GenerateKey(rand.Reader, 2048)
	strong, _ := rsa.GenerateKey(rand.Reader, 3072)
	forged := newRequest(t, newClientKey(t))
	forged[len(forged)-1] ^= 1
	for _, c := range []struct {
		name    string
		request []byte
		want    error
	}{
		{"P-256", newRequest(t, newClientKey(t)), nil},
		{"P-384", newRequest(t, p384), nil},
		{"Ed25519", newRequest(t, ed), nil},
		{"RSA 3072", newRequest(t, strong), nil},
		{"P-224", newRequest(t, p224), fleet.ErrInvalid},
		{"RSA 2048", newRequest(t, weak), fleet.ErrInvalid},
		{"wrong signature", forged, fleet.ErrInvalid},
		{"no request", []byte("x"), fleet.ErrInvalid},
	} {
		if _, err := root.Authority().IssueClient(c.request, uuid.New(), domain, time.Hour, time.Now()); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

func TestOnlyTheExactURIOfAClusterIsAnIdentity(t *testing.T) {
	t.Parallel()
	const id = "0b7e5b2e-2c3d-4e5f-8a9b-0c1d2e3f4a5b"
	good := "spiffe://example.org/cluster/" + id
	for _, c := range []struct {
		name string
		uris []string
		dns  []string
		want bool
	}{
		{"exact", []string{good}, nil, true},
		{"two URIs", []string{good, good}, nil, false},
		{"none", nil, nil, false},
		{"a DNS name too", []string{good}, []string{"x"}, false},
		{"other trust domain", []string{"spiffe://example.com/cluster/" + id}, nil, false},
		{"trust domain as a prefix", []string{"spiffe://example.org.evil/cluster/" + id}, nil, false},
		{"upper case", []string{"spiffe://example.org/cluster/0B7E5B2E-2C3D-4E5F-8A9B-0C1D2E3F4A5B"}, nil, false},
		{"more path", []string{good + "/admin"}, nil, false},
		{"query", []string{good + "?a=b"}, nil, false},
		{"braces", []string{"spiffe://example.org/cluster/{" + id + "}"}, nil, false},
		{"other scheme", []string{"https://example.org/cluster/" + id}, nil, false},
		{"a person", []string{"spiffe://example.org/user/" + id}, nil, false},
	} {
		cert := &x509.Certificate{DNSNames: c.dns}
		for _, uri := range c.uris {
			parsed, err := url.Parse(uri)
			if err != nil {
				t.Fatal(err)
			}
			cert.URIs = append(cert.URIs, parsed)
		}
		got, err := identity.ParseClusterID(cert, domain)
		if c.want && (err != nil || got.String() != id) || !c.want && !errors.Is(err, fleet.ErrDenied) {
			t.Errorf("%s: ParseClusterID = %s, %v", c.name, got, err)
		}
	}
}

func TestClientKeySurvivesItsEncoding(t *testing.T) {
	t.Parallel()
	key := newClientKey(t)
	encoded, err := identity.EncodeClientKey(key)
	if err != nil {
		t.Fatal(err)
	}
	decoded, err := identity.DecodeClientKey(encoded)
	if err != nil || !key.Public().(*ecdsa.PublicKey).Equal(decoded.Public()) {
		t.Errorf("decoded another key (%v)", err)
	}
	one, err := identity.KeyHash(newRequest(t, key))
	two, err2 := identity.KeyHash(newRequest(t, decoded))
	if err != nil || err2 != nil || one != two {
		t.Errorf("two requests of one key have the hashes %s and %s (%v, %v)", one, two, err, err2)
	}
	if _, err := identity.DecodeClientKey([]byte("x")); !errors.Is(err, fleet.ErrInvalid) {
		t.Errorf("no key: %v", err)
	}
}

func TestTrustDomainFollowsSPIFFE(t *testing.T) {
	t.Parallel()
	for domain, want := range map[string]bool{
		"example.org": true, "a_b-1": true, identity.DefaultTrustDomain: true,
		"": false, "Example.org": false, "a/b": false, "a b": false, "a:1": false,
	} {
		if err := identity.CheckTrustDomain(domain); (err == nil) != want {
			t.Errorf("%q: %v", domain, err)
		}
	}
}
