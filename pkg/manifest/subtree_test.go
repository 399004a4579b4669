package manifest_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/manifest"
)

func TestSubtreeTravelsLikeAnyManifest(t *testing.T) {
	t.Parallel()
	files := map[string][]byte{"a": []byte("one"), "b": []byte("two"), "again": []byte("one"), "empty": nil}
	m, blobs, err := manifest.NewSubtree([]byte("instructions"), files)
	if err != nil || len(m.Entries) != 3 {
		t.Fatalf("%v, %d entries; want the instructions and two contents", err, len(m.Entries))
	}
	pack, err := manifest.Pack(nil, m, func(digest fleet.Digest) ([]byte, error) { return blobs[digest], nil })
	if err != nil {
		t.Fatal(err)
	}
	got, contents, err := manifest.Unpack(pack, nil, m.Digest())
	if err != nil || got.Build() != fleet.DigestOf([]byte("instructions")) || string(contents[fleet.DigestOf([]byte("two"))]) != "two" {
		t.Errorf("%v, %v, %q", err, got, contents)
	}
	if plain, _, err := manifest.New(nil, manifest.Options{}); err != nil || !plain.Build().IsZero() {
		t.Error("a Manifest of objects is to be built:", err)
	}
}

func TestFileThatIsTooLargeForASubtreeIsNamed(t *testing.T) {
	t.Parallel()
	_, _, err := manifest.NewSubtree([]byte("x"), map[string][]byte{"deploy/big": bytes.Repeat([]byte("x"), manifest.MaxObjectSize+1)})
	if !errors.Is(err, fleet.ErrInvalid) || !strings.Contains(err.Error(), "deploy/big has ") {
		t.Error(err)
	}
}
