package identity_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/identity"
)

func TestJoinTokenHoldsItsIDAndThePinAndOnlyTheHashIsKept(t *testing.T) {
	t.Parallel()
	hub, _ := newRoot(t)
	token, hash := identity.NewJoinToken("t42", hub.Authority().Pin())
	got, err := identity.ParseJoinToken(" " + token + "\n")
	if err != nil {
		t.Fatal(err)
	}
	want := identity.JoinToken{ID: "t42", SecretHash: hash, Pin: hub.Authority().Pin()}
	if got != want {
		t.Errorf("ParseJoinToken = %+v, want %+v", got, want)
	}
	if second, _ := identity.NewJoinToken("t42", hub.Authority().Pin()); second == token {
		t.Error("two tokens are the same")
	}
}

func TestMangledJoinTokenIsRefusedWithoutShowingIt(t *testing.T) {
	t.Parallel()
	hub, _ := newRoot(t)
	token, _ := identity.NewJoinToken("t42", hub.Authority().Pin())
	parts := strings.Split(token, ".")
	for name, text := range map[string]string{
		"empty":      "",
		"cut":        token[:len(token)-1],
		"no pin":     strings.Join(parts[:3], "."),
		"no id":      strings.Join([]string{parts[0], "", parts[2], parts[3]}, "."),
		"bad id":     strings.Join([]string{parts[0], "t\x0042", parts[2], parts[3]}, "."),
		"other kind": strings.Replace(token, "fl1.", "fl2.", 1),
		"cut secret": strings.Replace(token, parts[2], parts[2][1:], 1),
		"bad pin":    strings.Join([]string{parts[0], parts[1], parts[2], strings.Repeat("z", 64)}, "."),
	} {
		_, err := identity.ParseJoinToken(text)
		if !errors.Is(err, fleet.ErrInvalid) {
			t.Errorf("%s: %v, want %v", name, err, fleet.ErrInvalid)
		}
		if err != nil && strings.Contains(err.Error(), parts[2]) {
			t.Errorf("%s: the error shows the secret", name)
		}
	}
}

func TestAdminTokenIsLookedUpByItsHash(t *testing.T) {
	t.Parallel()
	token, hash := identity.NewAdminToken()
	if identity.HashToken(token) != hash || !strings.HasPrefix(token, "fla1.") || len(token) != len("fla1.")+64 {
		t.Errorf("token %d bytes long, hash fits: %t", len(token), identity.HashToken(token) == hash)
	}
}

func TestStateSignatureCoversEveryField(t *testing.T) {
	t.Parallel()
	hub, _ := newRoot(t)
	other, _ := newRoot(t)
	key := hub.StateKey()
	cluster, at := uuid.New(), time.Unix(1700000000, 123456789)
	state := fleet.StateID{Epoch: 2, Version: 9, Digest: fleet.DigestOf([]byte("set"))}
	signature := identity.SignState(key, 1, cluster, state, at)
	known := []identity.StatePublicKey{other.StateKey().StatePublicKey, identity.NewStatePublicKey(key.Public)}
	if err := identity.VerifyState(known, key.ID, 1, cluster, state, at.UTC(), signature); err != nil {
		t.Fatal(err)
	}
	epoch, version, digest := state, state, state
	epoch.Epoch++
	version.Version--
	digest.Digest[31] ^= 1
	changed := append([]byte{signature[0] ^ 1}, signature[1:]...)
	for name, err := range map[string]error{
		"protocol":    identity.VerifyState(known, key.ID, 2, cluster, state, at, signature),
		"cluster":     identity.VerifyState(known, key.ID, 1, uuid.New(), state, at, signature),
		"epoch":       identity.VerifyState(known, key.ID, 1, cluster, epoch, at, signature),
		"version":     identity.VerifyState(known, key.ID, 1, cluster, version, at, signature),
		"digest":      identity.VerifyState(known, key.ID, 1, cluster, digest, at, signature),
		"time":        identity.VerifyState(known, key.ID, 1, cluster, state, at.Add(1), signature),
		"key id":      identity.VerifyState(known, other.StateKey().ID, 1, cluster, state, at, signature),
		"unknown key": identity.VerifyState(known[:1], key.ID, 1, cluster, state, at, signature),
		"signature":   identity.VerifyState(known, key.ID, 1, cluster, state, at, changed),
		"none":        identity.VerifyState(known, key.ID, 1, cluster, state, at, nil),
	} {
		if !errors.Is(err, fleet.ErrDenied) {
			t.Errorf("%s changed: %v, want %v", name, err, fleet.ErrDenied)
		}
	}
}
