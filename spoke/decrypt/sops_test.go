package decrypt_test

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

	"flotilla.dev/flotilla/spoke/decrypt"
)

func TestMain(m *testing.M) {
	logging.SetLevel(0) // SOPS logs what it does
	os.Exit(m.Run())
}

// encryptor encrypts as the sops command does, with its own library.
type encryptor struct {
	groups    []sops.KeyGroup
	threshold int
	// rule sets the fields of the metadata that say what is encrypted.
	rule func(*sops.Metadata)
}

// formatsOfSOPS are the library's names of the formats.
var formatsOfSOPS = map[decrypt.Format]formats.Format{
	decrypt.Binary: formats.Binary, decrypt.Dotenv: formats.Dotenv, decrypt.INI: formats.Ini, decrypt.JSON: formats.Json, decrypt.YAML: formats.Yaml,
}

// forKeys encrypts for one group of keys.
func forKeys(group ...keys.MasterKey) encryptor { return encryptor{groups: []sops.KeyGroup{group}} }

// encrypt returns the encrypted document, and what the library makes of it on decrypting, as the format out.
func (e encryptor) encrypt(t testing.TB, in, out decrypt.Format, plain []byte) (encrypted, decrypted []byte) {
	t.Helper()
	encrypted, decrypted, err := e.try(in, out, plain)
	if err != nil {
		t.Fatal(err)
	}
	return encrypted, decrypted
}

func (e encryptor) try(in, out decrypt.Format, plain []byte) (encrypted, decrypted []byte, err error) {
	store := common.StoreForFormat(formatsOfSOPS[in], config.NewStoresConfig())
	branches, err := store.LoadPlainFile(plain)
	if err != nil {
		return nil, nil, err
	}
	tree := sops.Tree{Branches: branches, Metadata: sops.Metadata{KeyGroups: e.groups, ShamirThreshold: e.threshold, Version: "3.13.3"}}
	if e.rule != nil {
		e.rule(&tree.Metadata)
	} else {
		tree.Metadata.UnencryptedSuffix = sops.DefaultUnencryptedSuffix
	}
	dataKey := make([]byte, 32)
	_, _ = rand.Read(dataKey)
	parts := [][]byte{dataKey}
	if len(e.groups) > 1 {
		if parts, err = shamir.Split(dataKey, len(e.groups), e.threshold); err != nil {
			return nil, nil, err
		}
	}
	for i, group := range e.groups {
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

// ageKey makes an age identity, as text, and SOPS' key for it.
func ageKey(t testing.TB) (identity string, key *sopsage.MasterKey) {
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

// pgpKey makes a PGP key and SOPS' key for it.
func pgpKey(t testing.TB) (entity *openpgp.Entity, key *sopspgp.MasterKey) {
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
	key = sopspgp.NewMasterKeyFromFingerprint(fingerprint(entity))
	sopspgp.PubRing(ring).ApplyToMasterKey(key)
	return entity, key
}

// armored prints keys, private or public, as gpg exports them.
func armored(t testing.TB, private bool, entity *openpgp.Entity) []byte {
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

func parse(t testing.TB, data map[string][]byte) *decrypt.Keys {
	t.Helper()
	k, err := decrypt.Parse("Secret/apps/sops", data)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func fingerprint(entity *openpgp.Entity) string {
	return fmt.Sprintf("%X", entity.PrimaryKey.Fingerprint)
}
