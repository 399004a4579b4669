package identity

import (
	"crypto/ed25519"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/google/uuid"

	"flotilla.dev/flotilla/pkg/fleet"
)

// StateKey signs desired state.
type StateKey struct {
	StatePublicKey
	private ed25519.PrivateKey
}

// StatePublicKey verifies what its StateKey signed.
type StatePublicKey struct {
	// ID names the key in signatures: the first 16 hex digits of the SHA-256 of the public key.
	ID     string
	Public ed25519.PublicKey
}

func newStateKey(private ed25519.PrivateKey) StateKey {
	public := private.Public().(ed25519.PublicKey)
	return StateKey{StatePublicKey: NewStatePublicKey(public), private: private}
}

// NewStatePublicKey names a public key.
func NewStatePublicKey(public ed25519.PublicKey) StatePublicKey {
	digest := fleet.DigestOf(public)
	return StatePublicKey{ID: hex.EncodeToString(digest[:8]), Public: public}
}

// SignState signs the desired state of one cluster. The signature covers, in this order and without padding, integers
// big-endian:
//
//	"flotilla.dev/state/v1\n"     so that no other thing signed with the key can be taken for a state
//	protocol version              4 bytes
//	cluster UUID                  16 bytes
//	epoch, version                8 bytes each
//	digest of the full set        32 bytes
//	time of signing               8 bytes, nanoseconds since 1970 UTC
//	key id                        the rest
func SignState(key StateKey, protocol uint32, cluster uuid.UUID, state fleet.StateID, signedAt time.Time) []byte {
	return ed25519.Sign(key.private, stateMessage(protocol, cluster, state, signedAt, key.ID))
}

// VerifyState checks a signature that SignState made with the key named keyID, which must be one of keys. Any other is
// a fleet.ErrDenied.
func VerifyState(keys []StatePublicKey, keyID string, protocol uint32, cluster uuid.UUID, state fleet.StateID, signedAt time.Time, signature []byte) error {
	for _, key := range keys {
		if key.ID != keyID || len(key.Public) != ed25519.PublicKeySize {
			continue
		}
		if ed25519.Verify(key.Public, stateMessage(protocol, cluster, state, signedAt, keyID), signature) {
			return nil
		}
		return fmt.Errorf("desired state %s: %w: its signature is wrong", state, fleet.ErrDenied)
	}
	return fmt.Errorf("desired state %s: %w: it is signed with key %q, which this cluster does not know", state, fleet.ErrDenied, keyID)
}

func stateMessage(protocol uint32, cluster uuid.UUID, state fleet.StateID, signedAt time.Time, keyID string) []byte {
	message := []byte("flotilla.dev/state/v1\n")
	message = binary.BigEndian.AppendUint32(message, protocol)
	message = append(message, cluster[:]...)
	message = binary.BigEndian.AppendUint64(message, state.Epoch)
	message = binary.BigEndian.AppendUint64(message, state.Version)
	message = append(message, state.Digest[:]...)
	message = binary.BigEndian.AppendUint64(message, uint64(signedAt.UnixNano()))
	return append(message, keyID...)
}
