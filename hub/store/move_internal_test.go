package store

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/test/lab"
)

func TestBlobsAreMovedByTheirBytes(t *testing.T) {
	t.Parallel()
	k := openKept(t, lab.TestDatabase(t), nil)
	for _, content := range []string{"a", "b", "c", "d", "e"} {
		k.put(content)
	}
	m := mover{store: k.Store}
	for _, test := range []struct {
		size int
		want int
	}{{1, 5}, {moveBytes / 2, 2}, {moveBytes/2 + 1, 1}, {10 * moveBytes, 1}} {
		k.exec(t, fmt.Sprintf(`UPDATE blob SET size = %d`, test.size))
		page, next, err := m.page(t.Context(), []byte{})
		if err != nil || len(page) != test.want || fleet.Digest(next) != page[len(page)-1].digest {
			t.Errorf("blobs of %d bytes: %d at a time, %v; want %d", test.size, len(page), err, test.want)
		}
	}
}

// Blobs move between all places, also when the move is cut off, and are the same there.
func TestBlobsMove(t *testing.T) {
	t.Parallel()
	url, first, second := lab.TestDatabase(t), testS3(t), testS3(t)
	k := openKept(t, url, nil)
	var digests []fleet.Digest
	for i := range 250 {
		digests = append(digests, k.put(fmt.Sprint("blob ", i)))
	}
	if err := k.Blobs().PutWhole(t.Context(), []byte("whole"), digests); err != nil {
		t.Fatal(err)
	}
	k.Close()
	elsewhere := keptConfig(url, second).Objects
	elsewhere.Prefix = "two"
	check := func(where string, config Config) {
		t.Helper()
		s, err := Open(t.Context(), config)
		if err != nil {
			t.Fatalf("%s: %v", where, err)
		}
		defer s.Close()
		if got, err := s.Blobs().GetAll(t.Context(), digests); err != nil || string(got[digests[7]]) != "blob 7" {
			t.Errorf("%s: %v", where, err)
		}
		if err := s.Blobs().Put(t.Context(), map[fleet.Digest][]byte{fleet.DigestOf([]byte(where)): []byte(where)}); err != nil {
			t.Errorf("%s: %v", where, err)
		}
	}
	inFirst := keptConfig(url, first)
	// The storage breaks after a while, and the move is repeated.
	puts := 0
	var mu sync.Mutex
	first.SetFor(func(r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		if r.Method == http.MethodPut {
			puts++
		}
		return puts > 220
	}, lab.Status(503))
	if _, err := MoveBlobs(t.Context(), keptConfig(url, nil), inFirst.Objects); !errors.Is(err, fleet.ErrUnavailable) {
		t.Fatalf("a move to a storage that breaks: %v", err)
	}
	first.Clear()
	check("half moved", inFirst)
	if moved, err := MoveBlobs(t.Context(), keptConfig(url, nil), inFirst.Objects); err != nil || moved == 0 || moved > 100 {
		t.Errorf("the rest: %d moved, %v", moved, err)
	}
	check("moved to objects", inFirst)
	inSecond := keptConfig(url, second)
	inSecond.Objects = elsewhere
	if _, err := MoveBlobs(t.Context(), inFirst, elsewhere); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), inFirst); !errors.Is(err, fleet.ErrConflict) {
		t.Errorf("what was moved away opens: %v", err)
	}
	check("moved to other objects", inSecond)
	if _, err := MoveBlobs(t.Context(), inSecond, nil); err != nil {
		t.Fatal(err)
	}
	second.Down()
	check("moved to rows", keptConfig(url, nil))
	if _, err := MoveBlobs(t.Context(), keptConfig(url, nil), nil); !errors.Is(err, fleet.ErrInvalid) {
		t.Errorf("to where they are: %v", err)
	}
	first.Clear()
	if _, err := MoveBlobs(t.Context(), inFirst, nil); err != nil { // done already
		t.Errorf("again: %v", err)
	}
}

// What object storage lost does not hold up a move: it stays lost, and is stored again by whoever has it.
func TestBlobsMoveWithoutWhatIsLost(t *testing.T) {
	t.Parallel()
	url, first, second := lab.TestDatabase(t), testS3(t), testS3(t)
	k := openKept(t, url, first)
	lost, there := k.put("lost"), k.put("there")
	if err := first.Delete("blobs", k.object(lost)); err != nil {
		t.Fatal(err)
	}
	if _, err := MoveBlobs(t.Context(), keptConfig(url, first), nil); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("a move of what nobody knows to be lost: %v", err)
	}
	if _, err := k.Blobs().Get(t.Context(), lost); !errors.Is(err, fleet.ErrNotFound) {
		t.Fatalf("Get: %v, want not found", err)
	}
	k.Close()
	inSecond := keptConfig(url, second)
	inSecond.Objects.Prefix = "two"
	if _, err := MoveBlobs(t.Context(), keptConfig(url, first), inSecond.Objects); err != nil {
		t.Fatal(err)
	}
	if _, err := MoveBlobs(t.Context(), inSecond, nil); err != nil {
		t.Fatal(err)
	}
	k = openKept(t, url, nil)
	if got, err := k.Blobs().Get(t.Context(), there); err != nil || string(got) != "there" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := k.Blobs().Get(t.Context(), lost); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("Get: %v, want not found", err)
	}
	k.put("lost")
	if got, err := k.Blobs().Get(t.Context(), lost); err != nil || string(got) != "lost" {
		t.Errorf("after it was stored again: %q, %v", got, err)
	}
}
