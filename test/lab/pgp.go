package lab

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// Signer signs commits, tags and charts.
type Signer interface {
	// Sign returns an armored signature.
	Sign(message []byte) (string, error)
}

// PGPKey is a pair of keys of OpenPGP.
type PGPKey struct{ entity *openpgp.Entity }

// NewPGPKey makes a pair for somebody.
func NewPGPKey(name string) (*PGPKey, error) {
	entity, err := openpgp.NewEntity(name, "", name+"@flotilla.dev", &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA})
	return &PGPKey{entity}, err
}

// TestPGPKey is a pair of the test's own.
func TestPGPKey(t testing.TB) *PGPKey {
	t.Helper()
	key, err := NewPGPKey("lab")
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// Public is the armored public key.
func (k *PGPKey) Public() (string, error) {
	return armored(openpgp.PublicKeyType, k.entity.Serialize)
}

// Ring is the public key as helm and gpg keep it, binary.
func (k *PGPKey) Ring() ([]byte, error) {
	var ring bytes.Buffer
	err := k.entity.Serialize(&ring)
	return ring.Bytes(), err
}

// ID is the key's, in 16 hex digits.
func (k *PGPKey) ID() string { return k.entity.PrimaryKey.KeyIdString() }

// Sign returns an armored detached signature.
func (k *PGPKey) Sign(message []byte) (string, error) {
	var signature bytes.Buffer
	err := openpgp.ArmoredDetachSign(&signature, k.entity, bytes.NewReader(message), nil)
	return signature.String(), err
}

func armored(kind string, write func(io.Writer) error) (string, error) {
	var text bytes.Buffer
	w, err := armor.Encode(&text, kind, nil)
	if err != nil {
		return "", err
	}
	err = errors.Join(write(w), w.Close())
	return text.String(), err
}
