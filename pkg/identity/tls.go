package identity

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
)

// ServerTLS is the configuration of the listener for spokes: TLS 1.3 only, no session tickets, so that every
// connection proves its identity anew. One that is given must be a client certificate of this CA, as VerifyClient has
// it. It may be absent, which is for Enroll alone, or have run out, which is for Renew alone: the server must check
// that.
func (a *Authority) ServerTLS(hosts []string) *tls.Config {
	config := a.AdminServerTLS(hosts)
	config.ClientAuth = tls.RequestClientCert
	config.ClientCAs = a.pool
	config.VerifyConnection = func(state tls.ConnectionState) error {
		if len(state.PeerCertificates) == 0 {
			return nil
		}
		return a.VerifyClient(state.PeerCertificates[0], time.Now())
	}
	return config
}

// AdminServerTLS is the configuration of the listener for people: TLS 1.3 only, no client certificates.
func (a *Authority) AdminServerTLS(hosts []string) *tls.Config {
	certificates := &serverCertificates{authority: a, hosts: hosts}
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		SessionTicketsDisabled: true,
		GetCertificate:         certificates.get,
		NextProtos:             []string{"h2"},
	}
}

// ErrPin is what a client says to a server that is not the hub it knows.
var ErrPin = fmt.Errorf("%w: this is not the hub that the pin names; is the address right, and was the token made by this hub?", fleet.ErrDenied)

// PinnedClientTLS is the configuration of whoever knows a hub by its pin: the server must show a chain that ends in
// the CA with that public key; its host name is not looked at. clientCert gives the client's certificate at each
// handshake; nil, or a nil certificate, shows none.
func PinnedClientTLS(pin fleet.Digest, clientCert func() (*tls.Certificate, error)) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: []string{"h2"},
		// The system's roots and the host name say nothing about a hub: verifyPinned does all the verifying.
		InsecureSkipVerify: true,
		VerifyConnection:   func(state tls.ConnectionState) error { return verifyPinned(state.PeerCertificates, pin) },
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if clientCert == nil {
				return &tls.Certificate{}, nil
			}
			cert, err := clientCert()
			if cert == nil {
				cert = &tls.Certificate{}
			}
			return cert, err
		},
	}
}

func verifyPinned(chain []*x509.Certificate, pin fleet.Digest) error {
	if len(chain) < 2 {
		return ErrPin
	}
	roots := x509.NewCertPool()
	found := false
	for _, cert := range chain[1:] {
		if Pin(cert) == pin && cert.IsCA {
			roots.AddCert(cert)
			found = true
		}
	}
	if !found {
		return ErrPin
	}
	_, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	if invalid := (x509.CertificateInvalidError{}); errors.As(err, &invalid) && invalid.Reason == x509.Expired {
		return fmt.Errorf("%w: the hub's certificate is not valid at this machine's time; is a clock wrong?", err)
	}
	return err
}
