package decrypt_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"filippo.io/age"
	"github.com/getsops/sops/v3"
	sopsage "github.com/getsops/sops/v3/age"
	"github.com/getsops/sops/v3/kms"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/decrypt"
	"flotilla.dev/flotilla/spoke/decrypt/decrypttest"
)

const canary = "c4n4ry-plaintext"

var document = []byte("data:\n  password: " + canary + "\n")

func TestEachOfSeveralKeysOpens(t *testing.T) {
	t.Parallel()
	one, first := decrypttest.AgeKey(t)
	two, second := decrypttest.AgeKey(t)
	entity, third := decrypttest.PGPKey(t)
	hybrid, fourth := hybridKey(t)
	encrypted, want := decrypttest.For(first, second, third, fourth).Encrypt(t, decrypt.YAML, decrypt.YAML, document)
	for name, data := range map[string]map[string][]byte{
		"the first":        {"id.agekey": []byte("# created: today\n# public key: age1...\n" + one + "\n")},
		"the second":       {"id.agekey": []byte(two)},
		"several in one":   {"id.agekey": []byte(newAge(t) + "\n\n" + two + "\n")},
		"several Secrets":  {"a.agekey": []byte(newAge(t)), "b.agekey": []byte(two), "README": []byte("not a key")},
		"PGP":              {"sops.asc": decrypttest.Armored(t, true, entity)},
		"PGP, both halves": {"sops.asc": append(decrypttest.Armored(t, false, entity), decrypttest.Armored(t, true, entity)...)},
		"PGP beside age":   {"id.agekey": []byte(newAge(t)), "sops.asc": decrypttest.Armored(t, true, entity)},
		"post-quantum age": {"id.agekey": []byte(hybrid)},
		"with credentials": {"id.agekey": []byte(one), "sops.vault-token": []byte("token")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := parse(t, data).File(t.Context(), "values.yaml", decrypt.YAML, encrypted)
			if err != nil || string(got) != string(want) {
				t.Errorf("%v, %q; want %q", err, got, want)
			}
		})
	}
}

func TestKeyGroupsNeedTheirThreshold(t *testing.T) {
	t.Parallel()
	var ids []string
	var groups []sops.KeyGroup
	for range 3 {
		id, key := decrypttest.AgeKey(t)
		_, spare := decrypttest.AgeKey(t)
		ids = append(ids, id)
		groups = append(groups, sops.KeyGroup{spare, key})
	}
	for _, format := range []decrypt.Format{decrypt.YAML, decrypt.JSON, decrypt.Dotenv, decrypt.INI} {
		plain := map[decrypt.Format]string{decrypt.YAML: "a: b\n", decrypt.JSON: `{"a":"b"}`, decrypt.Dotenv: "a=b\n", decrypt.INI: "[a]\nb = c\n"}[format]
		encrypted, want := decrypttest.Encryptor{Groups: groups, Threshold: 2}.Encrypt(t, format, format, []byte(plain))
		two := parse(t, map[string][]byte{"id.agekey": []byte(ids[0] + "\n" + ids[2])})
		if got, err := two.File(t.Context(), "f", format, encrypted); err != nil || string(got) != string(want) {
			t.Errorf("%s: with two of three: %v, %q; want %q", format, err, got, want)
		}
		one := parse(t, map[string][]byte{"id.agekey": []byte(ids[1])})
		_, err := one.File(t.Context(), "f", format, encrypted)
		if !errors.Is(err, decrypt.ErrNoKey) || !strings.Contains(err.Error(), "in 3 groups, of which 2 are needed and 1 opened") {
			t.Errorf("%s: with one of three: %v", format, err)
		}
	}
}

// TestWithoutAKeyTheErrorSaysWhichWouldDo is what a person needs who has to find the right one.
func TestWithoutAKeyTheErrorSaysWhichWouldDo(t *testing.T) {
	t.Parallel()
	_, wanted := decrypttest.AgeKey(t)
	entity, pgp := decrypttest.PGPKey(t)
	stranger, _ := decrypttest.PGPKey(t)
	mine := newAge(t)
	recipient := recipientOf(t, mine)
	encrypted, _ := decrypttest.For(wanted, pgp).Encrypt(t, decrypt.YAML, decrypt.YAML, document)
	for name, test := range map[string]struct {
		data map[string][]byte
		has  []string
	}{
		"none at all": {nil, []string{"Secret/apps/sops has no keys"}},
		"another age": {map[string][]byte{"id.agekey": []byte(mine)}, []string{"Secret/apps/sops has age " + recipient}},
		"another PGP": {map[string][]byte{"a.asc": decrypttest.Armored(t, true, stranger)}, []string{"Secret/apps/sops has PGP " + decrypttest.Fingerprint(stranger)}},
		"public only": {map[string][]byte{"a.asc": decrypttest.Armored(t, false, entity)}, []string{"only the public half of PGP " + decrypttest.Fingerprint(entity) + " in a.asc"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := parse(t, test.data).File(t.Context(), "values.yaml", decrypt.YAML, encrypted)
			if !errors.Is(err, decrypt.ErrNoKey) || !errors.Is(err, fleet.ErrInvalid) {
				t.Fatal(err)
			}
			for _, part := range append(test.has, "values.yaml: ", "age "+wanted.Recipient, "PGP "+decrypttest.Fingerprint(entity)) {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
		})
	}
}

func TestADocumentForAKeyServiceIsRefusedByName(t *testing.T) {
	t.Parallel()
	encrypted, _ := decrypttest.For(&kms.MasterKey{Arn: "arn:aws:kms:eu-1:123:key/abc"}).Encrypt(t, decrypt.YAML, decrypt.YAML, document)
	_, err := parse(t, map[string][]byte{"id.agekey": []byte(newAge(t))}).File(t.Context(), "values.yaml", decrypt.YAML, encrypted)
	if !errors.Is(err, decrypt.ErrNoKey) || !strings.Contains(err.Error(), "AWS KMS arn:aws:kms:eu-1:123:key/abc") {
		t.Error(err)
	}
}

func TestUnusableKeysAreRefusedByNameWithoutTheirContent(t *testing.T) {
	t.Parallel()
	entity, _ := decrypttest.PGPKey(t)
	locked := *entity
	if err := locked.EncryptPrivateKeys([]byte("passphrase"), nil); err != nil {
		t.Fatal(err)
	}
	identity := newAge(t)
	for name, test := range map[string]struct {
		key, value, says string
	}{
		"cut off":       {"id.agekey", identity[:50], "line 1: it is not a whole age identity"},
		"mistyped":      {"id.agekey", "# note\n" + strings.Replace(identity, identity[30:31], "!", 1), "line 2: it is not a whole age identity"},
		"a recipient":   {"id.agekey", recipientOf(t, identity), "it is not a whole age identity"},
		"a plugin's":    {"id.agekey", "AGE-PLUGIN-YUBIKEY-1QQQQ", "it is the identity of an age plugin"},
		"passphrase":    {"sops.asc", string(decrypttest.Armored(t, true, &locked)), "has a passphrase"},
		"not armored":   {"sops.asc", "secret bytes", "it is not an armored PGP private key"},
		"a message":     {"sops.asc", "-----BEGIN PGP MESSAGE-----\n\nAAAA\n-----END PGP MESSAGE-----\n", "something else than PGP keys"},
		"a broken one":  {"sops.asc", "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nAAAA\n-----END PGP PRIVATE KEY BLOCK-----\n", "damaged"},
		"hybrid halved": {"id.agekey", "AGE-SECRET-KEY-PQ-1QQQQ", "it is not a whole post-quantum age identity"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := decrypt.Parse("Secret/apps/sops", map[string][]byte{test.key: []byte(test.value)})
			if !errors.Is(err, decrypt.ErrBadKey) || !errors.Is(err, fleet.ErrInvalid) {
				t.Fatal(err)
			}
			for _, part := range []string{"Secret/apps/sops", "key " + test.key, test.says} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
			if strings.Contains(err.Error(), identity[20:30]) {
				t.Errorf("%q shows the key", err)
			}
		})
	}
}

// TestKeysAreNeverPrinted: a struct that holds one may end up in a log line.
func TestKeysAreNeverPrinted(t *testing.T) {
	t.Parallel()
	identity := newAge(t)
	k := parse(t, map[string][]byte{"id.agekey": []byte(identity)})
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(verb, k); !strings.Contains(text, "Secret/apps/sops has age age1") || strings.Contains(text, "SECRET") {
			t.Errorf("%s: %s", verb, text)
		}
	}
}

func newAge(t testing.TB) string {
	t.Helper()
	identity, _ := decrypttest.AgeKey(t)
	return identity
}

func recipientOf(t testing.TB, identity string) string {
	t.Helper()
	id, err := age.ParseX25519Identity(identity)
	if err != nil {
		t.Fatal(err)
	}
	return id.Recipient().String()
}

func hybridKey(t testing.TB) (string, *sopsage.MasterKey) {
	t.Helper()
	id, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	key, err := sopsage.MasterKeyFromRecipient(id.Recipient().String())
	if err != nil {
		t.Fatal(err)
	}
	return id.String(), key
}

func parse(t testing.TB, data map[string][]byte) *decrypt.Keys {
	t.Helper()
	k, err := decrypt.Parse("Secret/apps/sops", data)
	if err != nil {
		t.Fatal(err)
	}
	return k
}
