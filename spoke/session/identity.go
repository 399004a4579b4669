package session

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"

	"github.com/google/uuid"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/identity"
)

// Identity is who the cluster is to the hub, and who the hub is to the cluster. It outlives the volume.
type Identity struct {
	// ClusterID and ClusterName are what the hub calls the cluster.
	ClusterID   uuid.UUID
	ClusterName string
	// Key is the private key of Certificate, PEM; Certificate is DER.
	Key         []byte
	Certificate []byte
	// EnrolKey is the private key that goes with every try to redeem the join token of this id, PEM. Without it the
	// token is redeemed.
	EnrolKey   []byte
	EnrolToken string
	// Pin is that of the hub's CA.
	Pin fleet.Digest
	// SigningKeys are those that may sign desired state.
	SigningKeys []identity.StatePublicKey
	// Mark is the highest (epoch, version) accepted; it has no digest.
	Mark fleet.StateID
}

// Store keeps the Identity. Load returns the zero Identity when none is kept; Update changes it under a precondition
// and returns what is kept then.
type Store interface {
	Load(ctx context.Context) (Identity, error)
	Update(ctx context.Context, change func(*Identity)) (Identity, error)
}

// Enrolled reports whether the hub has issued a certificate, be it expired.
func (i Identity) Enrolled() bool { return len(i.Certificate) > 0 }

// tls returns the certificate with its key.
func (i Identity) tls() (*tls.Certificate, error) {
	key, err := identity.DecodeClientKey(i.Key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(i.Certificate)
	if err != nil {
		return nil, fmt.Errorf("decode the client certificate: %w: %w", fleet.ErrInvalid, err)
	}
	return &tls.Certificate{Certificate: [][]byte{i.Certificate}, PrivateKey: key, Leaf: leaf}, nil
}
