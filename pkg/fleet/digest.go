package fleet

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// Digest is a SHA-256. The zero Digest means "none".
type Digest [sha256.Size]byte

// DigestOf returns the digest of data.
func DigestOf(data []byte) Digest { return sha256.Sum256(data) }

// DigestFromBytes returns the digest whose 32 bytes are raw; an empty raw is the zero Digest.
func DigestFromBytes(raw []byte) (Digest, error) {
	var d Digest
	if len(raw) != 0 && len(raw) != len(d) {
		return d, fmt.Errorf("%w: a digest has %d bytes, not %d", ErrInvalid, len(d), len(raw))
	}
	copy(d[:], raw)
	return d, nil
}

// ParseDigest reads "sha256:<64 hex digits>"; the empty string is the zero Digest.
func ParseDigest(text string) (Digest, error) {
	var d Digest
	if text == "" {
		return d, nil
	}
	digits, found := strings.CutPrefix(text, "sha256:")
	if !found || len(digits) != hex.EncodedLen(len(d)) {
		return d, fmt.Errorf("%w: %q is not a digest of the form sha256:<64 hex digits>", ErrInvalid, text)
	}
	if _, err := hex.Decode(d[:], []byte(digits)); err != nil {
		return Digest{}, fmt.Errorf("%w: digest %q: %w", ErrInvalid, text, err)
	}
	return d, nil
}

// IsZero reports whether d names nothing.
func (d Digest) IsZero() bool { return d == Digest{} }

// String is "sha256:<hex>", or empty for the zero Digest.
func (d Digest) String() string {
	if d.IsZero() {
		return ""
	}
	return "sha256:" + hex.EncodeToString(d[:])
}

// Bytes returns the 32 bytes, or nil for the zero Digest.
func (d Digest) Bytes() []byte {
	if d.IsZero() {
		return nil
	}
	return d[:]
}

// MarshalText encodes d as String does.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText decodes what MarshalText wrote.
func (d *Digest) UnmarshalText(text []byte) (err error) {
	*d, err = ParseDigest(string(text))
	return err
}
