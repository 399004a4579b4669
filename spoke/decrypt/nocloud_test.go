//go:build !cloudkms

package decrypt_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/getsops/sops/v3/azkv"
	"github.com/getsops/sops/v3/gcpkms"
	"github.com/getsops/sops/v3/keys"
	"github.com/getsops/sops/v3/kms"

	"flotilla.dev/flotilla/spoke/decrypt"
	"flotilla.dev/flotilla/spoke/decrypt/decrypttest"
)

func TestASpokeWithoutClientsOfKeyServicesSaysWhatToDo(t *testing.T) {
	k := parse(t, map[string][]byte{"sops.aws-kms": []byte("c4n4ry"), "sops.gcp-kms": []byte("c4n4ry"), "sops.azure-kv": []byte("c4n4ry")})
	for name, key := range map[string]keys.MasterKey{
		"AWS KMS arn:aws:kms:eu-1:123:key/abc": &kms.MasterKey{Arn: "arn:aws:kms:eu-1:123:key/abc"},
		"projects/p/locations/l":               &gcpkms.MasterKey{ResourceID: "projects/p/locations/l/keyRings/r/cryptoKeys/k"},
		"https://v.example.com":                azkv.NewMasterKey("https://v.example.com", "k", "1"),
	} {
		encrypted, _ := decrypttest.For(key).Encrypt(t, decrypt.YAML, decrypt.YAML, document)
		_, err := k.File(t.Context(), "f", decrypt.YAML, encrypted)
		if !errors.Is(err, decrypt.ErrNoKey) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, words := range []string{name, "this spoke was built without cloud key services (build it with -tags cloudkms, or encrypt for an age or PGP key too)"} {
			if !strings.Contains(err.Error(), words) || strings.Contains(err.Error(), "c4n4ry") {
				t.Errorf("want %q in %q, and no credentials", words, err)
			}
		}
	}
}
