package identity_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/identity"
)

// newRoot returns a fresh hub's key and the file it is in.
func newRoot(t *testing.T) (identity.Root, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hub.key")
	root, err := identity.CreateKey(path)
	if err != nil {
		t.Fatal(err)
	}
	return root, path
}

func TestTheSameKeyFileIsTheSameHub(t *testing.T) {
	t.Parallel()
	root, path := newRoot(t)
	again, err := identity.LoadKey(path)
	if err != nil {
		t.Fatal(err)
	}
	if root.Fingerprint() != again.Fingerprint() {
		t.Error("the fingerprints differ")
	}
	if !bytes.Equal(root.Authority().Certificate().Raw, again.Authority().Certificate().Raw) {
		t.Error("the CA certificates differ")
	}
	if root.StateKey().ID != again.StateKey().ID {
		t.Error("the state keys differ")
	}
	opened, err := again.Open(root.Seal([]byte("secret"), []byte("row 1")), []byte("row 1"))
	if err != nil || string(opened) != "secret" {
		t.Errorf("Open = %q, %v", opened, err)
	}
	other, _ := newRoot(t)
	if root.Fingerprint() == other.Fingerprint() || root.Authority().Pin() == other.Authority().Pin() || root.StateKey().ID == other.StateKey().ID {
		t.Error("another key file is the same hub")
	}
}

// The labels of the derivation are a format: this fails when one changes, and with it every hub's identity.
func TestDerivationIsWhatItAlwaysWas(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "hub.key")
	if err := os.WriteFile(path, bytes.Repeat([]byte{7}, 32), 0o600); err != nil {
		t.Fatal(err)
	}
	root, err := identity.LoadKey(path)
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintf("%s %s %s", root.Fingerprint(), root.Authority().Pin(), root.StateKey().ID)
	const want = "sha256:70ea6ab94012b311a443868580dd409f48d42cdf32e8f389429306e5792f020d " +
		"sha256:2c4f11c5d8555690adfc99825d23b754b59212ed65e067eb492ff0d2e2b77478 f722028a13754a1f"
	if got != want {
		t.Errorf("derived %s\nwant    %s", got, want)
	}
}

func TestKeyFileOfOthersIsRefused(t *testing.T) {
	t.Parallel()
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o601} {
		_, path := newRoot(t)
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := identity.LoadKey(path); !errors.Is(err, fleet.ErrDenied) || !strings.Contains(err.Error(), path) {
			t.Errorf("mode %04o: LoadKey = %v, want a refusal that names the file", mode, err)
		}
	}
}

func TestKeyFileThatIsThereIsNeverOverwritten(t *testing.T) {
	t.Parallel()
	root, path := newRoot(t)
	if _, err := identity.CreateKey(path); !errors.Is(err, fleet.ErrExists) {
		t.Errorf("CreateKey over a key = %v, want %v", err, fleet.ErrExists)
	}
	again, err := identity.LoadKey(path)
	if err != nil || again.Fingerprint() != root.Fingerprint() {
		t.Errorf("the key changed (%v)", err)
	}
	left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*"))
	if len(left) != 1 {
		t.Errorf("beside the key lie %v", left)
	}
}

func TestKeyFileThatIsAbsentOrShortIsToldApart(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "hub.key")
	if _, err := identity.LoadKey(path); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("absent: %v, want %v", err, fleet.ErrNotFound)
	}
	if err := os.WriteFile(path, make([]byte, 31), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := identity.LoadKey(path); !errors.Is(err, fleet.ErrInvalid) {
		t.Errorf("short: %v, want %v", err, fleet.ErrInvalid)
	}
}

func TestSealedValueOpensOnlyWithItsKeyAndPlaceAndUnchanged(t *testing.T) {
	t.Parallel()
	root, _ := newRoot(t)
	other, _ := newRoot(t)
	sealed := root.Seal([]byte("hunter2"), []byte("row 1"))
	if bytes.Contains(sealed, []byte("hunter2")) {
		t.Error("the plaintext shows")
	}
	if _, err := other.Open(sealed, []byte("row 1")); !errors.Is(err, fleet.ErrInvalid) {
		t.Errorf("another key: %v", err)
	}
	if _, err := root.Open(sealed, []byte("row 2")); !errors.Is(err, fleet.ErrInvalid) {
		t.Errorf("another place: %v", err)
	}
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 1
		if _, err := root.Open(changed, []byte("row 1")); !errors.Is(err, fleet.ErrInvalid) {
			t.Errorf("byte %d changed: %v", i, err)
		}
	}
	if _, err := root.Open(nil, nil); !errors.Is(err, fleet.ErrInvalid) {
		t.Errorf("nothing: %v", err)
	}
}

func TestRootNeverPrintsItself(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "hub.key")
	if err := os.WriteFile(path, []byte("abcdefghijklmnopqrstuvwxyz012345"), 0o600); err != nil {
		t.Fatal(err)
	}
	root, err := identity.LoadKey(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		if got := fmt.Sprintf(verb, root); got != "root key (hidden)" {
			t.Errorf("%s prints %q", verb, got)
		}
	}
}
