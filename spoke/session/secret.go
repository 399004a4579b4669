package session

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"

	"github.com/google/uuid"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/identity"
)

// Keys of the Secret.
const (
	secretClusterID   = "cluster-id"
	secretClusterName = "cluster-name"
	secretKey         = "tls.key"
	secretCertificate = "tls.crt"
	secretEnrolKey    = "enrol.key"
	secretEnrolToken  = "enrol-token-id"
	secretPin         = "hub-pin"
	secretSigningKeys = "signing-keys"
	secretMark        = "state"
)

// Secrets is what is used of the API server: a namespace's Secrets.
type Secrets interface {
	Get(ctx context.Context, name string, options metav1.GetOptions) (*corev1.Secret, error)
	Create(ctx context.Context, secret *corev1.Secret, options metav1.CreateOptions) (*corev1.Secret, error)
	Update(ctx context.Context, secret *corev1.Secret, options metav1.UpdateOptions) (*corev1.Secret, error)
}

// Secret keeps the Identity in a Secret. It is a Store, safe for concurrent use.
type Secret struct {
	secrets Secrets
	name    string
	// turn orders the changes of this process: whoever has put something in may go on.
	turn chan struct{}
	// known is the Secret as it was written last, or read for that; nil: it has to be read. Who has the turn may use it.
	known *corev1.Secret
}

// NewSecret returns the Store that is the Secret of that name.
func NewSecret(secrets Secrets, name string) *Secret {
	return &Secret{secrets: secrets, name: name, turn: make(chan struct{}, 1)}
}

// Load reads the Identity; an absent Secret is the zero Identity.
func (s *Secret) Load(ctx context.Context) (Identity, error) {
	secret, err := s.get(ctx)
	if err != nil {
		return Identity{}, err
	}
	return decodeIdentity(secret.Data)
}

// Update changes the Identity and writes it where that changes anything, made when absent. It is read first if it is not as it
// was written last. When another wrote in between, the error is a fleet.ErrConflict.
func (s *Secret) Update(ctx context.Context, change func(*Identity)) (Identity, error) {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return Identity{}, fmt.Errorf("write Secret %s: %w", s.name, context.Cause(ctx))
	}
	if s.known != nil {
		changed, err := s.update(ctx, s.known, change)
		if !errors.Is(err, fleet.ErrConflict) && !apierrors.IsNotFound(err) {
			return changed, err
		}
	}
	secret, err := s.get(ctx)
	if err != nil {
		return Identity{}, err
	}
	return s.update(ctx, secret, change)
}

// update changes the Identity that the Secret has.
func (s *Secret) update(ctx context.Context, secret *corev1.Secret, change func(*Identity)) (Identity, error) {
	s.known = nil
	changed, err := decodeIdentity(secret.Data)
	if err != nil {
		return Identity{}, err
	}
	change(&changed)
	data := encodeIdentity(changed)
	if maps.EqualFunc(data, secret.Data, func(a, b []byte) bool { return string(a) == string(b) }) {
		s.known = secret
		return changed, nil
	}
	next := secret.DeepCopy()
	next.Data = data
	if next.ResourceVersion == "" {
		next, err = s.secrets.Create(ctx, next, metav1.CreateOptions{})
	} else {
		next, err = s.secrets.Update(ctx, next, metav1.UpdateOptions{})
	}
	if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) {
		return Identity{}, fmt.Errorf("write Secret %s: %w: another wrote it", s.name, fleet.ErrConflict)
	}
	if err != nil {
		return Identity{}, fmt.Errorf("write Secret %s: %w", s.name, err)
	}
	s.known = next
	return changed, nil
}

func (s *Secret) get(ctx context.Context) (*corev1.Secret, error) {
	secret, err := s.secrets.Get(ctx, s.name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: s.name}, Type: corev1.SecretTypeOpaque}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("get Secret %s: %w", s.name, err)
	}
	return secret, nil
}

func encodeIdentity(i Identity) map[string][]byte {
	data := map[string][]byte{}
	put := func(key string, value []byte) {
		if len(value) > 0 {
			data[key] = value
		}
	}
	if i.ClusterID != uuid.Nil {
		put(secretClusterID, []byte(i.ClusterID.String()))
	}
	put(secretClusterName, []byte(i.ClusterName))
	put(secretKey, i.Key)
	put(secretCertificate, encodeCertificate(i.Certificate))
	put(secretEnrolKey, i.EnrolKey)
	put(secretEnrolToken, []byte(i.EnrolToken))
	put(secretPin, []byte(i.Pin.String()))
	if len(i.SigningKeys) > 0 {
		put(secretSigningKeys, encodeKeys(i.SigningKeys))
	}
	if !i.Mark.IsZero() {
		put(secretMark, []byte(i.Mark.String()))
	}
	return data
}

// decodeIdentity refuses, as fleet.ErrInvalid, what it did not write: taking half an identity for none would enrol the
// cluster anew.
func decodeIdentity(data map[string][]byte) (i Identity, err error) {
	refuse := func(key string, err error) (Identity, error) {
		return Identity{}, fmt.Errorf("the spoke's Secret: %w: key %s: %w; delete the Secret to enrol this cluster anew", fleet.ErrInvalid, key, err)
	}
	if id := data[secretClusterID]; len(id) > 0 {
		if i.ClusterID, err = uuid.ParseBytes(id); err != nil {
			return refuse(secretClusterID, err)
		}
	}
	if i.Certificate, err = decodeCertificate(data[secretCertificate]); err != nil {
		return refuse(secretCertificate, err)
	}
	if i.Pin, err = fleet.ParseDigest(string(data[secretPin])); err != nil {
		return refuse(secretPin, err)
	}
	if keys := data[secretSigningKeys]; len(keys) > 0 {
		if i.SigningKeys, err = decodeKeys(keys); err != nil {
			return refuse(secretSigningKeys, err)
		}
	}
	if mark := data[secretMark]; len(mark) > 0 {
		if _, err := fmt.Sscanf(string(mark), "%d.%d", &i.Mark.Epoch, &i.Mark.Version); err != nil {
			return refuse(secretMark, err)
		}
	}
	i.ClusterName, i.Key = string(data[secretClusterName]), data[secretKey]
	i.EnrolToken, i.EnrolKey = string(data[secretEnrolToken]), data[secretEnrolKey]
	return i, nil
}

// encodeCertificate writes a certificate as PEM; none is nothing.
func encodeCertificate(der []byte) []byte {
	if len(der) == 0 {
		return nil
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func decodeCertificate(data []byte) (der []byte, err error) {
	if len(data) == 0 {
		return nil, nil
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, errors.New("no PEM")
	}
	return block.Bytes, nil
}

// encodeKeys writes the public keys as a JSON list of base64 strings.
func encodeKeys(keys []identity.StatePublicKey) []byte {
	raw := make([]string, len(keys))
	for i, key := range keys {
		raw[i] = base64.StdEncoding.EncodeToString(key.Public)
	}
	data, err := json.Marshal(raw)
	if err != nil {
		panic("encode signing keys: " + err.Error()) // strings always encode
	}
	return data
}

func decodeKeys(data []byte) ([]identity.StatePublicKey, error) {
	var raw [][]byte
	if err := json.Unmarshal(data, &raw); err != nil {
		return nil, err
	}
	keys := make([]identity.StatePublicKey, len(raw))
	for i, key := range raw {
		keys[i] = identity.NewStatePublicKey(key)
	}
	return keys, nil
}
