package identity

import (
	"crypto/aes"
	"crypto/cipher"
	"fmt"

	"flotilla.dev/flotilla/pkg/fleet"
)

// sealed values begin with a byte that names their format: 1 is AES-256-GCM with a random 96-bit nonce before the
// ciphertext. Random nonces are safe for 2^32 values under one key, far more than a fleet has secrets.
const sealFormat = 1

type sealer struct{ aead cipher.AEAD }

func newSealer(key []byte) (*sealer, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("make the sealing cipher: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("make the sealing cipher: %w", err)
	}
	return &sealer{aead: aead}, nil
}

func (s *sealer) seal(plaintext, additional []byte) []byte {
	out := make([]byte, 1, 1+len(plaintext)+s.aead.Overhead())
	out[0] = sealFormat
	return s.aead.Seal(out, nil, plaintext, additional)
}

func (s *sealer) open(sealed, additional []byte) ([]byte, error) {
	if len(sealed) == 0 || sealed[0] != sealFormat {
		return nil, fmt.Errorf("open a sealed value: %w: its format is not known", fleet.ErrInvalid)
	}
	plaintext, err := s.aead.Open(nil, nil, sealed[1:], additional)
	if err != nil {
		return nil, fmt.Errorf("open a sealed value: %w: it was sealed with another key or for another place, or was changed", fleet.ErrInvalid)
	}
	return plaintext, nil
}
