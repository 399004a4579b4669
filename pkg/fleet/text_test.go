package fleet_test

import (
	"errors"
	"testing"

	"flotilla.dev/flotilla/pkg/fleet"
)

func TestKeyIsReadAsItIsWritten(t *testing.T) {
	t.Parallel()
	key := fleet.Key{Home: fleet.HubHome, Kind: "Kustomization", Namespace: "apps", Name: "podinfo"}
	if got, err := fleet.ParseKey(key.String()); err != nil || got != key {
		t.Errorf("%s is read as %+v, error %v", key, got, err)
	}
	for _, text := range []string{"", "hub/Kustomization/apps", "hub/Kustomization//a", "/Kustomization/apps/a", "hub/Kustomization/apps/a/b"} {
		if _, err := fleet.ParseKey(text); !errors.Is(err, fleet.ErrInvalid) {
			t.Errorf("%q: error %v", text, err)
		}
	}
}

func TestDigestIsReadAsItIsWritten(t *testing.T) {
	t.Parallel()
	for _, digest := range []fleet.Digest{{}, fleet.DigestOf(nil), fleet.DigestOf([]byte("x"))} {
		if got, err := fleet.ParseDigest(digest.String()); err != nil || got != digest {
			t.Errorf("text %s is read as %s, error %v", digest, got, err)
		}
		if got, err := fleet.DigestFromBytes(digest.Bytes()); err != nil || got != digest {
			t.Errorf("bytes of %s are read as %s, error %v", digest, got, err)
		}
	}
	hex := fleet.DigestOf(nil).String()
	for _, text := range []string{"sha256:", hex[:len(hex)-1], hex + "0", "sha512" + hex[6:], "sha256:z" + hex[8:]} {
		if got, err := fleet.ParseDigest(text); !errors.Is(err, fleet.ErrInvalid) || !got.IsZero() {
			t.Errorf("%q is read as %s, error %v", text, got, err)
		}
	}
	if _, err := fleet.DigestFromBytes([]byte("short")); !errors.Is(err, fleet.ErrInvalid) {
		t.Errorf("error %v", err)
	}
}

func TestStatesAreOrderedByEpochThenVersion(t *testing.T) {
	t.Parallel()
	ordered := []fleet.StateID{{}, {Epoch: 1}, {Epoch: 1, Version: 9, Digest: fleet.DigestOf(nil)}, {Epoch: 2, Version: 1}, {Epoch: 10}}
	for i, a := range ordered {
		for j, b := range ordered {
			if got := a.Compare(b); (got < 0) != (i < j) || (got == 0) != (i == j) {
				t.Errorf("%s to %s: %d", a, b, got)
			}
		}
	}
}

func TestDesiredDigestTellsSetsApart(t *testing.T) {
	t.Parallel()
	one, two := fleet.DigestOf([]byte("1")), fleet.DigestOf([]byte("2"))
	seen := map[fleet.Digest]bool{}
	for _, set := range []map[string]fleet.Digest{nil, {"a": one}, {"a": two}, {"b": one}, {"a": one, "b": two}, {"a": two, "b": one}} {
		digest := fleet.DesiredDigest(set)
		if seen[digest] {
			t.Errorf("%v has the digest of another set", set)
		}
		seen[digest] = true
	}
}
