package decrypt

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// addPGP reads armored private keys. A public key beside them opens nothing, and is left alone as gpg would.
func (k *Keys) addPGP(name string, data []byte) error {
	blocks := bufio.NewReader(bytes.NewReader(data))
	found := false
	for {
		block, err := armor.Decode(blocks)
		if errors.Is(err, io.EOF) && found {
			return nil
		}
		if err != nil {
			return errors.New("it is not an armored PGP private key (gpg --export-secret-keys --armor)")
		}
		found = true
		if block.Type != openpgp.PrivateKeyType && block.Type != openpgp.PublicKeyType {
			return errors.New("it holds something else than PGP keys")
		}
		entities, err := openpgp.ReadKeyRing(block.Body)
		if err != nil {
			return errors.New("a PGP key in it is damaged, or of a kind that is not known")
		}
		for _, entity := range entities {
			if err := k.addEntity(name, entity); err != nil {
				return err
			}
		}
	}
}

func (k *Keys) addEntity(name string, entity *openpgp.Entity) error {
	fingerprint := fmt.Sprintf("%X", entity.PrimaryKey.Fingerprint)
	keys := []*packet.PrivateKey{entity.PrivateKey}
	for _, subkey := range entity.Subkeys {
		keys = append(keys, subkey.PrivateKey)
	}
	usable := false
	for _, key := range keys {
		switch {
		case key == nil, key.Dummy(): // public only, or kept elsewhere
		case key.Encrypted:
			return fmt.Errorf("PGP %s has a passphrase, and nobody is there to type it: export it without one", fingerprint)
		default:
			usable = true
		}
	}
	if !usable {
		k.remarks = append(k.remarks, fmt.Sprintf("only the public half of PGP %s in %s", fingerprint, name))
		return nil
	}
	k.pgp = append(k.pgp, entity)
	k.names = append(k.names, keyKinds["pgp"].name+" "+fingerprint)
	return nil
}

// openPGP decrypts a message for a PGP key.
func (k *Keys) openPGP(enc string) ([]byte, error) {
	if len(k.pgp) == 0 {
		return nil, errOtherKey
	}
	block, err := armor.Decode(strings.NewReader(enc))
	if err != nil {
		return nil, errBroken
	}
	message, err := openpgp.ReadMessage(block.Body, k.pgp, nil, nil)
	if errors.Is(err, pgperrors.ErrKeyIncorrect) {
		return nil, errOtherKey
	}
	if err != nil {
		return nil, errBroken
	}
	return readKey(message.UnverifiedBody)
}
