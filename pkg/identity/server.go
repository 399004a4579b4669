package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"sync"
	"time"
)

const (
	// serverLife is short since a server certificate costs nothing: it is made anew by every process.
	serverLife = 30 * 24 * time.Hour
	// serverBackdate lets spokes in whose clock is up to an hour behind.
	serverBackdate = time.Hour
)

// IssueServer returns a certificate for the hub's own listeners, with a new key, for the host names and addresses
// given. Spokes and fleetctl know the hub by its pin and ask for no name; the names are for other clients.
func (a *Authority) IssueServer(hosts []string, now time.Time) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("issue a server certificate: %w", err)
	}
	template := &x509.Certificate{
		NotBefore:   now.Add(-serverBackdate),
		NotAfter:    now.Add(serverLife),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := a.issue(template, key.Public())
	if err != nil {
		return nil, fmt.Errorf("issue a server certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("issue a server certificate: %w", err)
	}
	// The CA goes along, since a client that holds only its pin has to see it.
	return &tls.Certificate{Certificate: [][]byte{der, a.cert.Raw}, PrivateKey: key, Leaf: leaf}, nil
}

// serverCertificates hands out a server certificate and makes the next one when half of its life is over.
type serverCertificates struct {
	authority *Authority
	hosts     []string

	mu      sync.Mutex
	current *tls.Certificate
}

func (s *serverCertificates) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if s.current != nil && now.Before(s.current.Leaf.NotAfter.Add(-serverLife/2)) {
		return s.current, nil
	}
	next, err := s.authority.IssueServer(s.hosts, now)
	if err != nil {
		return nil, err
	}
	s.current = next
	return next, nil
}
