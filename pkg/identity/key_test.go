package identity_test

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/identity"
)

func TestAKeyIsTheSameInWhateverWayItIsWritten(t *testing.T) {
	t.Parallel()
	key := identity.NewKey()
	file := filepath.Join(t.TempDir(), "hub.key")
	if err := os.WriteFile(file, key, 0o600); err != nil {
		t.Fatal(err)
	}
	root, err := identity.LoadKey(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"hexadecimal": hex.EncodeToString(key), "capitals": strings.ToUpper(hex.EncodeToString(key)), "base64": base64.StdEncoding.EncodeToString(key),
		"base64 for URLs, with a newline": base64.RawURLEncoding.EncodeToString(key) + "\n",
	} {
		parsed, err := identity.ParseKey(text)
		if err != nil || parsed.Fingerprint() != root.Fingerprint() {
			t.Errorf("%s: %v", name, err)
		}
		of, err := identity.RootOf([]byte(text))
		if err != nil || of.Fingerprint() != root.Fingerprint() {
			t.Errorf("%s in a Secret: %v", name, err)
		}
	}
	if of, err := identity.RootOf(key); err != nil || of.Fingerprint() != root.Fingerprint() {
		t.Errorf("as it is: %v", err)
	}
}

func TestWhatIsNoKeyIsRefusedWithoutShowingIt(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "canary", strings.Repeat("ab", 31), strings.Repeat("ab", 33), base64.StdEncoding.EncodeToString([]byte("canary"))} {
		if _, err := identity.ParseKey(text); !errors.Is(err, fleet.ErrInvalid) || text != "" && strings.Contains(fmt.Sprint(err), text) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
