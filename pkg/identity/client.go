package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/url"
	"time"

	"github.com/google/uuid"

	"flotilla.dev/flotilla/pkg/fleet"
)

// clientBackdate lets a certificate be used by replicas and spokes whose clock is a little behind.
const clientBackdate = 5 * time.Minute

// Issued is a client certificate.
type Issued struct {
	DER []byte
	// Serial as Serial returns it.
	Serial              string
	NotBefore, NotAfter time.Time
}

// IssueClient answers a certificate request (PKCS #10, DER) with the certificate of a cluster. Of the request it takes
// the public key alone: subject, names and extensions are ignored. A request that its own key did not sign, or with a
// key that is not P-256, P-384, Ed25519 or RSA of at least 3072 bits, is a fleet.ErrInvalid.
func (a *Authority) IssueClient(request []byte, cluster uuid.UUID, trustDomain string, ttl time.Duration, now time.Time) (Issued, error) {
	key, err := RequestKey(request)
	if err != nil {
		return Issued{}, err
	}
	template := &x509.Certificate{
		NotBefore:   now.Add(-clientBackdate).UTC().Truncate(time.Second),
		NotAfter:    now.Add(ttl).UTC().Truncate(time.Second),
		URIs:        []*url.URL{clusterURI(cluster, trustDomain)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := a.issue(template, key)
	if err != nil {
		return Issued{}, fmt.Errorf("issue the certificate of cluster %s: %w", cluster, err)
	}
	return Issued{DER: der, Serial: template.SerialNumber.Text(16), NotBefore: template.NotBefore, NotAfter: template.NotAfter}, nil
}

// VerifyClient checks that a certificate is one that this CA issued to a client, and that its time has begun; anything
// else is a fleet.ErrDenied. That its time is over is no fault here: with such a certificate a cluster may still renew,
// and do nothing else, which is for the caller to see to.
func (a *Authority) VerifyClient(cert *x509.Certificate, now time.Time) error {
	if now.After(cert.NotAfter) {
		now = cert.NotAfter
	}
	_, err := cert.Verify(x509.VerifyOptions{Roots: a.pool, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	if err != nil {
		return fmt.Errorf("client certificate: %w: %w", fleet.ErrDenied, err)
	}
	return nil
}

// RequestKey checks a certificate request as IssueClient does and returns its public key.
func RequestKey(request []byte) (crypto.PublicKey, error) {
	csr, err := x509.ParseCertificateRequest(request)
	if err != nil {
		return nil, fmt.Errorf("certificate request: %w: %w", fleet.ErrInvalid, err)
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, fmt.Errorf("certificate request: %w: it is not signed by its own key", fleet.ErrInvalid)
	}
	switch key := csr.PublicKey.(type) {
	case ed25519.PublicKey:
		return key, nil
	case *ecdsa.PublicKey:
		if key.Curve == elliptic.P256() || key.Curve == elliptic.P384() {
			return key, nil
		}
	case *rsa.PublicKey:
		if key.N.BitLen() >= 3072 {
			return key, nil
		}
	}
	return nil, fmt.Errorf("certificate request: %w: its key is not P-256, P-384, Ed25519 or RSA of at least 3072 bits", fleet.ErrInvalid)
}

// KeyHash names the public key of a certificate request: what a join token is bound to once it is redeemed.
func KeyHash(request []byte) (fleet.Digest, error) {
	csr, err := x509.ParseCertificateRequest(request)
	if err != nil {
		return fleet.Digest{}, fmt.Errorf("certificate request: %w: %w", fleet.ErrInvalid, err)
	}
	return fleet.DigestOf(csr.RawSubjectPublicKeyInfo), nil
}

// NewClientKey makes the private key of a cluster, P-256.
func NewClientKey() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

// NewRequest returns a certificate request for the key, DER. It says nothing else: identity is the hub's to give.
func NewRequest(key crypto.Signer) ([]byte, error) {
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, fmt.Errorf("make a certificate request: %w", err)
	}
	return der, nil
}

// EncodeClientKey returns the key as PEM (PKCS #8).
func EncodeClientKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode a private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// DecodeClientKey reads what EncodeClientKey wrote.
func DecodeClientKey(data []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("decode a private key: %w: no PEM", fleet.ErrInvalid)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("decode a private key: %w: %w", fleet.ErrInvalid, err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("decode a private key: %w: it cannot sign", fleet.ErrInvalid)
	}
	return signer, nil
}
