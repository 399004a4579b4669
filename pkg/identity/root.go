package identity

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"

	"flotilla.dev/flotilla/pkg/fleet"
)

// keySize is that of a key file and of every derived key.
const keySize = 32

// Root is the key that a hub is. It never prints itself. The zero Root is not usable.
type Root struct {
	secret *[keySize]byte
	ca     *Authority
	seal   *sealer
	state  StateKey
}

// newRoot derives everything at once, so that what is derived cannot fail later.
func newRoot(secret []byte) (Root, error) {
	if len(secret) != keySize {
		return Root{}, fmt.Errorf("%w: a key has %d bytes, not %d", fleet.ErrInvalid, keySize, len(secret))
	}
	root := Root{secret: (*[keySize]byte)(secret)}
	seed, err := root.derive("state-signing")
	if err != nil {
		return Root{}, err
	}
	root.state = newStateKey(ed25519.NewKeyFromSeed(seed))
	if seed, err = root.derive("ca"); err != nil {
		return Root{}, err
	}
	if root.ca, err = newAuthority(ed25519.NewKeyFromSeed(seed)); err != nil {
		return Root{}, err
	}
	if seed, err = root.derive("sealing"); err != nil {
		return Root{}, err
	}
	root.seal, err = newSealer(seed)
	return root, err
}

// derive returns the key for a purpose.
func (r Root) derive(purpose string) ([]byte, error) {
	key, err := hkdf.Key(sha256.New, r.secret[:], nil, "flotilla.dev/root/v1/"+purpose, keySize)
	if err != nil {
		return nil, fmt.Errorf("derive the %s key: %w", purpose, err)
	}
	return key, nil
}

// Fingerprint names the key without giving anything of it away. It is kept in the database, so that a key that does
// not belong to it is refused.
func (r Root) Fingerprint() fleet.Digest {
	print, err := r.derive("fingerprint")
	if err != nil {
		panic(err) // the same derivation succeeded in newRoot
	}
	return fleet.Digest(print)
}

// Authority is the hub's CA.
func (r Root) Authority() *Authority { return r.ca }

// StateKey signs desired state.
func (r Root) StateKey() StateKey { return r.state }

// Seal encrypts plaintext with AES-256-GCM. The additional data, such as the name of the row it is kept in, must be
// given again to Open, so that sealed values cannot be swapped.
func (r Root) Seal(plaintext, additional []byte) []byte { return r.seal.seal(plaintext, additional) }

// Open decrypts what Seal made. An error wraps fleet.ErrInvalid: another key, other additional data, or changed bytes.
func (r Root) Open(sealed, additional []byte) ([]byte, error) { return r.seal.open(sealed, additional) }

// String hides the key.
func (r Root) String() string { return "root key (hidden)" }

// GoString hides the key from %#v.
func (r Root) GoString() string { return r.String() }

// Format hides the key from every other verb.
func (r Root) Format(state fmt.State, _ rune) { _, _ = state.Write([]byte(r.String())) }

// LogValue hides the key from logs.
func (r Root) LogValue() slog.Value { return slog.StringValue(r.String()) }

// randomHex returns so many random bytes as hex digits.
func randomHex(n int) string {
	raw := make([]byte, n)
	_, _ = rand.Read(raw) // never fails
	return hex.EncodeToString(raw)
}
