package identity

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"

	"flotilla.dev/flotilla/pkg/fleet"
)

// NewKey makes the bytes of a new key.
func NewKey() []byte {
	secret := make([]byte, keySize)
	_, _ = rand.Read(secret) // never fails
	return secret
}

// RootOf is the Root of a key's 32 bytes, or of the text that ParseKey takes. Errors hold nothing of it.
func RootOf(key []byte) (Root, error) {
	if len(key) == keySize {
		return newRoot(key)
	}
	return ParseKey(string(key))
}

// ParseKey reads a key of 32 bytes, written as 64 hexadecimal digits or in base64. Errors hold nothing of it.
func ParseKey(text string) (Root, error) {
	text = strings.TrimSpace(text)
	if secret, err := hex.DecodeString(text); err == nil && len(secret) == keySize {
		return newRoot(secret)
	}
	for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		if secret, err := encoding.DecodeString(text); err == nil && len(secret) == keySize {
			return newRoot(secret)
		}
	}
	return Root{}, fmt.Errorf("%w: it is not a key of %d bytes, as %d hexadecimal digits or in base64 (head -c %d /dev/urandom | base64)", fleet.ErrInvalid, keySize, 2*keySize, keySize)
}
