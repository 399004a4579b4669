package decrypt

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"filippo.io/age"
	"github.com/ProtonMail/go-crypto/openpgp"
)

// Keys open documents. They are safe for concurrent use.
type Keys struct {
	source string
	age    []age.Identity
	pgp    openpgp.EntityList
	cloud  cloud
	// names are of the keys that documents may be encrypted for, remarks are of what holds no such key.
	names, remarks []string
}

// The names of a Secret's keys by which Flux knows what they hold; of the first two the end of the name.
const (
	ageSuffix  = ".agekey"
	pgpSuffix  = ".asc"
	vaultToken = "sops.vault-token"
	awsKMS     = "sops.aws-kms"
	azureKV    = "sops.azure-kv"
	gcpKMS     = "sops.gcp-kms"
)

// Parse reads keys from the data of a Secret, which source names: NAME.agekey has age identities, one a line; NAME.asc
// has armored PGP private keys, without a passphrase; sops.vault-token, sops.aws-kms, sops.azure-kv and sops.gcp-kms
// have credentials of key services, which only a spoke built with the tag cloudkms can use. Other names are left alone.
//
// An error wraps ErrBadKey and names the Secret's key, never what it holds.
func Parse(source string, data map[string][]byte) (*Keys, error) {
	k := &Keys{source: source}
	for _, name := range slices.Sorted(maps.Keys(data)) {
		var err error
		switch {
		case path.Ext(name) == ageSuffix:
			err = k.addAge(data[name])
		case path.Ext(name) == pgpSuffix:
			err = k.addPGP(name, data[name])
		case name == vaultToken, name == awsKMS, name == azureKV, name == gcpKMS:
			err = k.cloud.add(name, data[name])
		}
		if err != nil {
			return nil, fmt.Errorf("%s: key %s: %w: %w", source, name, ErrBadKey, err)
		}
	}
	return k, nil
}

// String names the keys; it never holds one.
func (k *Keys) String() string {
	has := append(slices.Clone(k.names), k.remarks...)
	if len(has) == 0 {
		return k.source + " has no keys"
	}
	return k.source + " has " + strings.Join(has, ", ")
}

// GoString is String, so that no verb of fmt shows a key.
func (k *Keys) GoString() string { return k.String() }
