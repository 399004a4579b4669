package identity

import (
	"crypto/hmac"
	"crypto/sha256"

	"flotilla.dev/flotilla/pkg/fleet"
)

// MAC names data that holds a secret, such as a credential, without giving anyone who lacks the key a way to guess it.
// The same data has the same name as long as the key is the same.
func (r Root) MAC(data []byte) fleet.Digest {
	key, err := r.derive("naming")
	if err != nil {
		panic(err) // the same derivation succeeded in newRoot
	}
	mac := hmac.New(sha256.New, key)
	_, _ = mac.Write(data) // a hash never fails
	return fleet.Digest(mac.Sum(nil))
}
