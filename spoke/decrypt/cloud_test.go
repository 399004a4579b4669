//go:build cloudkms

package decrypt_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/getsops/sops/v3/azkv"
	"github.com/getsops/sops/v3/gcpkms"
	"github.com/getsops/sops/v3/hcvault"
	"github.com/getsops/sops/v3/keys"
	"github.com/getsops/sops/v3/kms"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/decrypt"
	"flotilla.dev/flotilla/spoke/decrypt/decrypttest"
)

// vault answers as Vault's transit engine does, for those who have the token. It hides nothing.
func vault(t *testing.T) *httptest.Server {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct{ Plaintext, Ciphertext string }
		_ = json.NewDecoder(r.Body).Decode(&body)
		answer := map[string]any{"ciphertext": "vault:v1:" + body.Plaintext}
		if strings.Contains(r.URL.Path, "/decrypt/") {
			answer = map[string]any{"plaintext": strings.TrimPrefix(body.Ciphertext, "vault:v1:")}
		}
		if r.Header.Get("X-Vault-Token") != "right" {
			w.WriteHeader(http.StatusForbidden)
			answer = nil
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"data": answer, "errors": []string{"permission denied"}})
	}))
	t.Cleanup(server.Close)
	return server
}

func TestVaultOpensWithTheSecretsToken(t *testing.T) {
	key := hcvault.NewMasterKey(vault(t).URL, "transit", "sops")
	hcvault.Token("right").ApplyToMasterKey(key)
	encrypted, want := decrypttest.For(key).Encrypt(t, decrypt.YAML, decrypt.YAML, document)
	k := parse(t, map[string][]byte{"sops.vault-token": []byte("right\n")})
	if got, err := k.File(t.Context(), "f", decrypt.YAML, encrypted); err != nil || string(got) != string(want) {
		t.Errorf("%v, %q", err, got)
	}
	// Another try may do: it is not the document that is wrong.
	k = parse(t, map[string][]byte{"sops.vault-token": []byte("wrong")})
	_, err := k.File(t.Context(), "f", decrypt.YAML, encrypted)
	if !errors.Is(err, decrypt.ErrService) || errors.Is(err, fleet.ErrInvalid) || !strings.Contains(err.Error(), "permission denied") {
		t.Error(err)
	}
}

func TestAServiceIsNotAskedWithoutItsCredentials(t *testing.T) {
	transit := hcvault.NewMasterKey(vault(t).URL, "transit", "sops")
	hcvault.Token("right").ApplyToMasterKey(transit)
	for name, key := range map[string]keys.MasterKey{
		"sops.aws-kms":     &kms.MasterKey{Arn: "arn:aws:kms:eu-1:123:key/abc"},
		"sops.gcp-kms":     &gcpkms.MasterKey{ResourceID: "projects/p/locations/l/keyRings/r/cryptoKeys/k"},
		"sops.azure-kv":    azkv.NewMasterKey("https://v.example.com", "k", "1"),
		"sops.vault-token": transit,
	} {
		encrypted, _ := decrypttest.For(key).Encrypt(t, decrypt.YAML, decrypt.YAML, document)
		_, err := parse(t, nil).File(t.Context(), "f", decrypt.YAML, encrypted)
		if !errors.Is(err, decrypt.ErrNoKey) || !strings.Contains(err.Error(), "the Secret has no "+name) {
			t.Error(err)
		}
	}
}

func TestCredentialsThatCannotBeUsedAreRefused(t *testing.T) {
	for name, values := range map[string][]string{
		"sops.aws-kms":     {"", "c4n4ry", "aws_access_key_id: c4n4ry", "aws_secret_access_key: c4n4ry"},
		"sops.gcp-kms":     {"", "c4n4ry", `{"type":"external_account","credential_source":{"executable":{"command":"c4n4ry"}}}`},
		"sops.azure-kv":    {"", "c4n4ry", "clientId: c4n4ry", "{tenantId: a, clientId: b, clientCertificate: c4n4ry}"},
		"sops.vault-token": {" \n"},
	} {
		for _, value := range values {
			_, err := decrypt.Parse("Secret/apps/sops", map[string][]byte{name: []byte(value)})
			if !errors.Is(err, decrypt.ErrBadKey) || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "c4n4ry") {
				t.Errorf("%s: %q: %v", name, value, err)
			}
		}
	}
	for name, value := range map[string]string{
		"sops.aws-kms":  "{aws_access_key_id: a, aws_secret_access_key: b}",
		"sops.azure-kv": "{tenant: t, appId: a, password: p}",
		"sops.gcp-kms":  `{"type": "service_account"}`,
	} {
		if _, err := decrypt.Parse("Secret/apps/sops", map[string][]byte{name: []byte(value)}); err != nil {
			t.Error(err)
		}
	}
}
