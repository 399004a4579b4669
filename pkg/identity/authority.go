package identity

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"fmt"
	"math/big"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Authority is a hub's CA. It issues the certificates of clusters and of the hub's own listeners.
type Authority struct {
	key  ed25519.PrivateKey
	cert *x509.Certificate
	pool *x509.CertPool
}

// newAuthority makes the CA of a key. Its certificate holds nothing but what follows from the key, so that it is
// always the same one.
func newAuthority(key ed25519.PrivateKey) (*Authority, error) {
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, fmt.Errorf("make the CA: %w", err)
	}
	id := sha256.Sum256(der)
	template := &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(id[:16]),
		// The name tells one hub's CA from another's.
		Subject:               pkix.Name{CommonName: "Flotilla hub " + hex.EncodeToString(id[:4])},
		SubjectKeyId:          id[:20],
		NotBefore:             time.Unix(0, 0),
		NotAfter:              time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), // RFC 5280 4.1.2.5: no expiry
		IsCA:                  true,
		MaxPathLenZero:        true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	der, err = x509.CreateCertificate(nil, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make the CA: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("make the CA: %w", err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &Authority{key: key, cert: cert, pool: pool}, nil
}

// Certificate is the CA's own, self-signed.
func (a *Authority) Certificate() *x509.Certificate { return a.cert }

// Pin is what spokes and clients know the hub by.
func (a *Authority) Pin() fleet.Digest { return Pin(a.cert) }

// Pin is the SHA-256 of the certificate's public key (its SubjectPublicKeyInfo).
func Pin(cert *x509.Certificate) fleet.Digest { return fleet.DigestOf(cert.RawSubjectPublicKeyInfo) }

// issue signs the template as a certificate of the key.
func (a *Authority) issue(template *x509.Certificate, key crypto.PublicKey) ([]byte, error) {
	// 16 random bytes; the first bit makes it positive, the second gives every serial the same length.
	serial := make([]byte, 16)
	_, _ = rand.Read(serial) // never fails
	serial[0] = serial[0]&0x7f | 0x40
	template.SerialNumber = new(big.Int).SetBytes(serial)
	template.BasicConstraintsValid = true
	template.KeyUsage = x509.KeyUsageDigitalSignature
	return x509.CreateCertificate(rand.Reader, template, a.cert, key, a.key)
}

// Serial is a certificate's serial number in hex, as stored and compared.
func Serial(cert *x509.Certificate) string { return cert.SerialNumber.Text(16) }
