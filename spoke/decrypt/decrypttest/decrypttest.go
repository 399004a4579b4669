// Package decrypttest encrypts as the sops command does, with SOPS' own library, for tests of what decrypts.
package decrypttest

import (
	"bytes"

	"crypto/rand"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"filippo.io/age"
	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/aes"
	sopsage "github.com/getsops/sops/v3/age"
	"github.com/getsops/sops/v3/cmd/sops/common"
	"github.com/getsops/sops/v3/cmd/sops/formats"
	"github.com/getsops/sops/v3/config"
	"github.com/getsops/sops/v3/keys"
	"github.com/getsops/sops/v3/logging"
	sopspgp "github.com/getsops/sops/v3/pgp"
	"github.com/getsops/sops/v3/shamir"

	format "flotilla.dev/flotilla/pkg/sops"
)

func init() {
	logging.SetLevel(0) // SOPS logs what it does
}

// Encryptor encrypts for groups of keys.
type Encryptor struct {
	Groups []sops.KeyGroup
	// Threshold is how many groups are needed, where there are several.
	Threshold int
	// Rule sets the fields of the metadata that say what is encrypted; nil: SOPS' own rule.
	Rule func(*sops.Metadata)
}

// formatsOfSOPS are the library's names of the formats.
var formatsOfSOPS = map[format.Format]formats.Format{
	format.Binary: formats.Binary, format.Dotenv: formats.Dotenv, format.INI: formats.Ini, format.JSON: formats.Json, format.YAML: formats.Yaml,
}

// For encrypts for one group of keys.
func For(group ...keys.MasterKey) Encryptor { return Encryptor{Groups: []sops.KeyGroup{group}} }

// Encrypt returns the encrypted document, and what the library makes of it on decrypting, as the format out.
func (e Encryptor) Encrypt(t testing.TB, in, out format.Format, plain []byte) (encrypted, decrypted []byte) {
	t.Helper()
	encrypted, decrypted, err := e.Try(in, out, plain)
	if err != nil {
		t.Fatal(err)
	}
	return encrypted, decrypted
}

// Try is Encrypt with an error.
func (e Encryptor) Try(in, out format.Format, plain []byte) (encrypted, decrypted []byte, err error) {
	store := common.StoreForFormat(formatsOfSOPS[in], config.NewStoresConfig())
	branches, err := store.LoadPlainFile(plain)
	if err != nil {
		return nil, nil, err
	}
	tree := sops.Tree{Branches: branches, Metadata: sops.Metadata{KeyGroups: e.Groups, ShamirThreshold: e.Threshold, Version: "3.13.3"}}
	if e.Rule != nil {
		e.Rule(&tree.Metadata)
	} else {
		tree.Metadata.UnencryptedSuffix = sops.DefaultUnencryptedSuffix
	}
	dataKey := make([]byte, 32)
	_, _ = rand.Read(dataKey)
	parts := [][]byte{dataKey}
	if len(e.Groups) > 1 {
		if parts, err = shamir.Split(dataKey, len(e.Groups), e.Threshold); err != nil {
			return nil, nil, err
		}
	}
	for i, group := range e.Groups {
		for _, key := range group {
			if kind := key.TypeToIdentifier(); kind == "kms" || kind == "gcp_kms" || kind == "azure_kv" {
				key.SetEncryptedDataKey([]byte("AQICAHh")) // there is no such service here
				continue
			}
			if err := key.Encrypt(parts[i]); err != nil {
				return nil, nil, err
			}
		}
	}
	if err := common.EncryptTree(common.EncryptTreeOpts{Tree: &tree, Cipher: aes.NewCipher(), DataKey: dataKey}); err != nil {
		return nil, nil, err
	}
	if encrypted, err = store.EmitEncryptedFile(tree); err != nil {
		return nil, nil, err
	}
	again, err := store.LoadEncryptedFile(encrypted)
	if err != nil {
		return nil, nil, err
	}
	if _, err := again.Decrypt(dataKey, aes.NewCipher()); err != nil {
		return nil, nil, err
	}
	decrypted, err = common.StoreForFormat(formatsOfSOPS[out], config.NewStoresConfig()).EmitPlainFile(again.Branches)
	return encrypted, decrypted, err
}

// AgeKey makes an age identity, as text, and SOPS' key for it.
func AgeKey(t testing.TB) (identity string, key *sopsage.MasterKey) {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	key, err = sopsage.MasterKeyFromRecipient(id.Recipient().String())
	if err != nil {
		t.Fatal(err)
	}
	return id.String(), key
}

// PGPKey makes a PGP key and SOPS' key for it.
func PGPKey(t testing.TB) (entity *openpgp.Entity, key *sopspgp.MasterKey) {
	t.Helper()
	entity, err := openpgp.NewEntity("test", "", "test@example.com", &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA})
	if err != nil {
		t.Fatal(err)
	}
	ring := filepath.Join(t.TempDir(), "pubring.gpg")
	var public bytes.Buffer
	if err := entity.Serialize(&public); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(ring, public.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	key = sopspgp.NewMasterKeyFromFingerprint(Fingerprint(entity))
	sopspgp.PubRing(ring).ApplyToMasterKey(key)
	return entity, key
}

// Armored prints keys, private or public, as gpg exports them.
func Armored(t testing.TB, private bool, entity *openpgp.Entity) []byte {
	t.Helper()
	var out bytes.Buffer
	kind, write := openpgp.PublicKeyType, entity.Serialize
	if private {
		kind = openpgp.PrivateKeyType
		write = func(w io.Writer) error { return entity.SerializePrivateWithoutSigning(w, nil) }
	}
	w, err := armor.Encode(&out, kind, nil)
	if err == nil {
		err = write(w)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return append(out.Bytes(), '\n')
}

// OfSecrets is the rule that Flux' guide gives: what a Secret holds, and nothing else.
func OfSecrets(m *sops.Metadata) { m.EncryptedRegex = "^(data|stringData)$" }

// Fingerprint names a PGP key.
func Fingerprint(entity *openpgp.Entity) string {
	return fmt.Sprintf("%X", entity.PrimaryKey.Fingerprint)
}
