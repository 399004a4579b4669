package fleet_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"flotilla.dev/flotilla/pkg/fleet"
)

// What the asking side lets through the answering side takes, up to the last byte.
func TestDocumentsThatCanBePackedCanBeUnpacked(t *testing.T) {
	t.Parallel()
	const around = len("---\n") + len("\n")
	for most := fleet.MaxDocuments - 3*around; most <= fleet.MaxDocuments; most++ {
		first := bytes.Repeat([]byte("a"), 1000)
		documents := [][]byte{first, bytes.Repeat([]byte("b"), most-len(first))}
		packed, err := fleet.PackDocuments(documents)
		if fits := most+2*around <= fleet.MaxDocuments; fits != (err == nil) || err != nil && !errors.Is(err, fleet.ErrInvalid) {
			t.Fatalf("%d bytes: %v", most, err)
		}
		if err != nil {
			continue
		}
		content, err := fleet.UnpackDocuments(packed)
		if err != nil || len(content) != most+2*around || !bytes.HasPrefix(content, []byte("---\naaa")) || !bytes.Contains(content, []byte("a\n---\nb")) {
			t.Fatalf("%d bytes: %v, %d unpacked", most, err, len(content))
		}
	}
}

func TestDocumentsThatDoNotCompressAreBoundedAsTheyAreSent(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewChaCha8([32]byte{}))
	noise := make([]byte, fleet.MaxAsked)
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	if _, err := fleet.PackDocuments([][]byte{noise}); !errors.Is(err, fleet.ErrInvalid) {
		t.Errorf("packed: %v", err)
	}
	if _, err := fleet.UnpackDocuments([]byte("no gzip")); !errors.Is(err, fleet.ErrInvalid) {
		t.Errorf("unpacked: %v", err)
	}
}
