package lab

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"testing"
)

// Authority signs the certificates with which servers and clients on loopback prove who they are. No system trusts it.
type Authority struct{ inner *authority }

// NewAuthority makes one that lives in memory alone.
func NewAuthority() (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	encoded, err := newAuthority(key)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(encoded)
	if block == nil {
		return nil, errors.New("the authority's certificate was not encoded")
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, err
	}
	return &Authority{&authority{certificate: certificate, key: key, pem: encoded}}, nil
}

// TestAuthority is one of the test's own.
func TestAuthority(t testing.TB) *Authority {
	t.Helper()
	a, err := NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// PEM is what others must trust: ca.crt.
func (a *Authority) PEM() []byte { return a.inner.pem }

// Issue signs a certificate in a name, good for a client and for a server on 127.0.0.1 or localhost: tls.crt and
// tls.key, PEM-encoded.
func (a *Authority) Issue(name string) (certificate, key []byte, err error) {
	pair, err := a.inner.issue(name)
	return pair.certificate, pair.key, err
}

// pool trusts the authority alone.
func (a *Authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.inner.certificate)
	return pool
}

// client is what a program on the right side of the authority's TLS uses.
func (a *Authority) client(name string) (*tls.Config, error) {
	config := &tls.Config{RootCAs: a.pool(), MinVersion: tls.VersionTLS12}
	if name == "" {
		return config, nil
	}
	certificate, err := a.pair(name)
	if err != nil {
		return nil, err
	}
	config.Certificates = []tls.Certificate{certificate}
	return config, nil
}

func (a *Authority) pair(name string) (tls.Certificate, error) {
	certificate, key, err := a.Issue(name)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(certificate, key)
}
