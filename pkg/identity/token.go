package identity

import (
	"encoding/hex"
	"fmt"
	"strings"

	"flotilla.dev/flotilla/pkg/fleet"
)

// joinPrefix and adminPrefix begin tokens, so that a leaked one is recognised.
const (
	joinPrefix  = "fl1"
	adminPrefix = "fla1"
)

// secretSize is that of a token's secret: 256 random bits, so that a plain hash at rest is enough.
const secretSize = 32

// JoinToken is what a join token says: fl1.<id>.<secret>.<SHA-256 of the CA's public key>.
type JoinToken struct {
	// ID names the token; it is no secret.
	ID string
	// SecretHash is what the hub keeps of the secret.
	SecretHash fleet.Digest
	// Pin is that of the CA of the hub that made the token.
	Pin fleet.Digest
}

// NewJoinToken makes a token with that id for the hub with that pin, and the hash of its secret, which is all the hub
// keeps. An id has letters, digits and dashes, 64 at most.
func NewJoinToken(id string, pin fleet.Digest) (token string, secretHash fleet.Digest) {
	secret := randomHex(secretSize)
	return strings.Join([]string{joinPrefix, id, secret, hex.EncodeToString(pin[:])}, "."), fleet.DigestOf([]byte(secret))
}

// ParseJoinToken reads a join token; white space around it is dropped. The error of one that is malformed wraps
// fleet.ErrInvalid and never holds the token.
func ParseJoinToken(text string) (JoinToken, error) {
	parts := strings.Split(strings.TrimSpace(text), ".")
	if len(parts) != 4 || parts[0] != joinPrefix || !isTokenID(parts[1]) || len(parts[2]) != 2*secretSize {
		return JoinToken{}, fmt.Errorf("%w: a join token has the form fl1.<id>.<secret>.<pin>; was it copied whole?", fleet.ErrInvalid)
	}
	pin, err := fleet.ParseDigest("sha256:" + parts[3])
	if err != nil {
		return JoinToken{}, fmt.Errorf("%w: the pin at the end of the join token is not 64 hex digits; was it copied whole?", fleet.ErrInvalid)
	}
	return JoinToken{ID: parts[1], SecretHash: fleet.DigestOf([]byte(parts[2])), Pin: pin}, nil
}

// isTokenID accepts letters, digits and dashes, as a UUID has.
func isTokenID(id string) bool {
	return id != "" && len(id) <= 64 && strings.Trim(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") == ""
}

// NewAdminToken makes a bearer token for the admin API and its hash, which is all the hub keeps.
func NewAdminToken() (token string, hash fleet.Digest) {
	token = adminPrefix + "." + randomHex(secretSize)
	return token, HashToken(token)
}

// HashToken is the hash that a bearer token is looked up by.
func HashToken(token string) fleet.Digest { return fleet.DigestOf([]byte(token)) }
