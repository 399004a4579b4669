package identity

import (
	"crypto/x509"
	"fmt"
	"net/url"
	"strings"

	"github.com/google/uuid"

	"flotilla.dev/flotilla/pkg/fleet"
)

// DefaultTrustDomain is the trust domain of a hub that is given none.
const DefaultTrustDomain = "flotilla.local"

// clusterPath is the path of a cluster's URI before its UUID.
const clusterPath = "/cluster/"

func clusterURI(cluster uuid.UUID, trustDomain string) *url.URL {
	return &url.URL{Scheme: "spiffe", Host: trustDomain, Path: clusterPath + cluster.String()}
}

// ParseClusterID returns the cluster that a certificate, already verified against the hub's CA, is the identity of. It
// must have exactly one name, and that must be, character by character, the URI of a cluster in the trust domain;
// anything else is a fleet.ErrDenied.
func ParseClusterID(cert *x509.Certificate, trustDomain string) (uuid.UUID, error) {
	if len(cert.URIs) != 1 || len(cert.DNSNames)+len(cert.EmailAddresses)+len(cert.IPAddresses) != 0 {
		return uuid.UUID{}, fmt.Errorf("%w: the certificate does not have exactly one URI for a name", fleet.ErrDenied)
	}
	uri := cert.URIs[0].String()
	id, found := strings.CutPrefix(uri, "spiffe://"+trustDomain+clusterPath)
	if !found {
		return uuid.UUID{}, fmt.Errorf("%w: the certificate's name %q is not a cluster of %s", fleet.ErrDenied, uri, trustDomain)
	}
	cluster, err := uuid.Parse(id)
	if err != nil || cluster.String() != id {
		return uuid.UUID{}, fmt.Errorf("%w: the certificate's name %q does not end in a UUID", fleet.ErrDenied, uri)
	}
	return cluster, nil
}

// CheckTrustDomain refuses, as fleet.ErrInvalid, what the SPIFFE ID specification does not allow in a trust domain:
// anything but 1 to 255 lower-case letters, digits, dots, dashes and underscores.
func CheckTrustDomain(trustDomain string) error {
	bad := strings.Trim(trustDomain, "abcdefghijklmnopqrstuvwxyz0123456789.-_")
	if trustDomain == "" || len(trustDomain) > 255 || bad != "" {
		return fmt.Errorf("trust domain %q: %w: use lower-case letters, digits, dots, dashes and underscores", trustDomain, fleet.ErrInvalid)
	}
	return nil
}
