// Package artifacttest holds what every artifact.Store must do, as a test.
package artifacttest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/fleet"
)

// RunStore tests a Store; open returns an empty one, and is called once a test.
func RunStore(t *testing.T, open func(t *testing.T) artifact.Store) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, artifact.Store){
		"WhatIsPutCanBeGot":               putGet,
		"WhatWasNeverPutIsNotFound":       notFound,
		"MissingKeepsOrderAndNamesOnce":   missing,
		"AWrongDigestStoresNothing":       wrongDigest,
		"PuttingTwiceChangesNothing":      putTwice,
		"NothingToDoIsNoError":            nothing,
		"CallersKeepTheirBytes":           aliasing,
		"ManyAtOnceAgree":                 concurrent,
		"ACancelledContextIsAnError":      cancelled,
		"LargeAndOddContentComesBackAsIs": content,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

func putGet(t *testing.T, s artifact.Store) {
	data := blobs("a", "b", "")
	mustBeNil(t, s.Put(t.Context(), data))
	for digest, want := range data {
		if got, err := s.Get(t.Context(), digest); err != nil || !bytes.Equal(got, want) {
			t.Errorf("Get: %q, %v; want %q", got, err, want)
		}
	}
}

func notFound(t *testing.T, s artifact.Store) {
	digest := fleet.DigestOf([]byte("never"))
	if data, err := s.Get(t.Context(), digest); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("Get: %q, %v; want not found", data, err)
	}
}

func missing(t *testing.T, s artifact.Store) {
	a, b, c := fleet.DigestOf([]byte("a")), fleet.DigestOf([]byte("b")), fleet.DigestOf([]byte("c"))
	mustBeNil(t, s.Put(t.Context(), blobs("b")))
	got, err := s.Missing(t.Context(), []fleet.Digest{c, b, a, c})
	if err != nil || !slices.Equal(got, []fleet.Digest{c, a}) {
		t.Errorf("Missing: %v, %v; want %v", got, err, []fleet.Digest{c, a})
	}
}

func wrongDigest(t *testing.T, s artifact.Store) {
	bad := blobs("good")
	bad[fleet.DigestOf([]byte("said"))] = []byte("done")
	if err := s.Put(t.Context(), bad); !errors.Is(err, fleet.ErrInvalid) {
		t.Errorf("Put: %v; want invalid", err)
	}
	if got, err := s.Missing(t.Context(), keys(bad)); err != nil || len(got) != 2 {
		t.Errorf("Missing: %v, %v; want both", got, err)
	}
}

func putTwice(t *testing.T, s artifact.Store) {
	mustBeNil(t, s.Put(t.Context(), blobs("a")))
	mustBeNil(t, s.Put(t.Context(), blobs("a", "b")))
	putGet(t, s)
}

func nothing(t *testing.T, s artifact.Store) {
	mustBeNil(t, s.Put(t.Context(), nil))
	if got, err := s.Missing(t.Context(), nil); err != nil || len(got) != 0 {
		t.Errorf("Missing: %v, %v; want none", got, err)
	}
}

func aliasing(t *testing.T, s artifact.Store) {
	data := []byte("mine")
	digest := fleet.DigestOf(data)
	mustBeNil(t, s.Put(t.Context(), map[fleet.Digest][]byte{digest: data}))
	data[0] = 'X'
	got, err := s.Get(t.Context(), digest)
	if err != nil || string(got) != "mine" {
		t.Fatalf("Get: %q, %v; want the bytes as they were put", got, err)
	}
	got[0] = 'Y'
	if again, err := s.Get(t.Context(), digest); err != nil || string(again) != "mine" {
		t.Errorf("Get: %q, %v; want the bytes as they were put", again, err)
	}
}

func concurrent(t *testing.T, s artifact.Store) {
	var data []string
	for i := range 40 {
		data = append(data, fmt.Sprint("blob ", i))
	}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if err := s.Put(t.Context(), blobs(data...)); err != nil {
				t.Errorf("Put: %v", err)
			}
		})
	}
	group.Wait()
	if got, err := s.Missing(t.Context(), keys(blobs(data...))); err != nil || len(got) != 0 {
		t.Errorf("Missing: %v, %v; want none", got, err)
	}
}

func cancelled(t *testing.T, s artifact.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Put(ctx, blobs("a")); !errors.Is(err, context.Canceled) {
		t.Errorf("Put: %v; want canceled", err)
	}
	if _, err := s.Get(ctx, fleet.DigestOf([]byte("a"))); !errors.Is(err, context.Canceled) {
		t.Errorf("Get: %v; want canceled", err)
	}
}

func content(t *testing.T, s artifact.Store) {
	random := rand.NewChaCha8([32]byte{1})
	data := map[fleet.Digest][]byte{}
	for _, size := range []int{1, 255, 4096, 64<<10 - 1, 64 << 10, 1<<20 + 1, 5 << 20} {
		blob := make([]byte, size)
		_, _ = random.Read(blob) // it never fails
		data[fleet.DigestOf(blob)] = blob
	}
	zeros := make([]byte, 1000)
	data[fleet.DigestOf(zeros)] = zeros
	mustBeNil(t, s.Put(t.Context(), data))
	for digest, want := range data {
		if got, err := s.Get(t.Context(), digest); err != nil || !bytes.Equal(got, want) {
			t.Errorf("Get of %d bytes: %d bytes, %v", len(want), len(got), err)
		}
	}
}

func blobs(contents ...string) map[fleet.Digest][]byte {
	out := map[fleet.Digest][]byte{}
	for _, data := range contents {
		out[fleet.DigestOf([]byte(data))] = []byte(data)
	}
	return out
}

func keys(m map[fleet.Digest][]byte) []fleet.Digest {
	var out []fleet.Digest
	for digest := range m {
		out = append(out, digest)
	}
	return out
}

func mustBeNil(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
