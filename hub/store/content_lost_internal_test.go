package store

import (
	"bytes"
	"errors"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/test/lab"
)

// Bytes are never given that are not what the digest says.
func TestDamagedBytesAreNotGiven(t *testing.T) {
	forEachKeeper(t, func(t *testing.T, k *kept) {
		digest := k.put("content")
		k.damage(digest)
		data, err := k.Blobs().Get(t.Context(), digest)
		if !errors.Is(err, fleet.ErrConflict) && !errors.Is(err, fleet.ErrNotFound) {
			t.Errorf("%q, %v", data, err)
		}
	})
}

// notThere makes the storage answer that the blob's object is not there until the returned function is called, which is how
// it answers while it is restored, or by a replica that is behind.
func (k *kept) notThere(digest fleet.Digest) (back func()) {
	k.t.Helper()
	name := "/blobs/" + k.object(digest)
	k.s3.SetFor(func(r *http.Request) bool { return r.Method == http.MethodGet && r.URL.Path == name }, lab.Status(http.StatusNotFound))
	return k.s3.Clear
}

// A storage that says of each object once that it is not there is asked again.
func TestAnObjectThatIsNotThereForAMomentIsNotLost(t *testing.T) {
	t.Parallel()
	k := openKept(t, lab.TestDatabaseFrom(t, "schema", Migrate), testS3(t))
	digests := []fleet.Digest{k.put("one"), k.put("two"), k.put("three")}
	asked := map[string]int{}
	var mu sync.Mutex
	k.s3.SetFor(func(r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		asked[r.URL.Path]++
		return asked[r.URL.Path] == 1
	}, lab.Status(http.StatusNotFound))
	got, err := k.Blobs().GetAll(t.Context(), digests)
	if err != nil || string(got[digests[2]]) != "three" || k.s3.Struck() != len(digests) {
		t.Errorf("%q, %v, after %d objects were not there", got, err, k.s3.Struck())
	}
	if missing, err := k.Blobs().Missing(t.Context(), digests); err != nil || len(missing) > 0 {
		t.Errorf("missing %v, %v", missing, err)
	}
}

// An object that is not there for a while is missing for that while, and found when it is back, though nobody stored it
// again: what was pushed nobody has. No sweep takes it meanwhile.
func TestAnObjectThatComesBackIsFoundAgain(t *testing.T) {
	t.Parallel()
	k := openKept(t, lab.TestDatabaseFrom(t, "schema", Migrate), testS3(t))
	part := k.put("part")
	if err := k.Blobs().PutWhole(t.Context(), []byte("whole"), []fleet.Digest{part}); err != nil {
		t.Fatal(err)
	}
	back := k.notThere(part)
	for range 2 {
		if data, err := k.Blobs().Get(t.Context(), part); !errors.Is(err, fleet.ErrNotFound) {
			t.Errorf("Get: %q, %v, want not found", data, err)
		}
		if missing, err := k.Blobs().Missing(t.Context(), []fleet.Digest{part}); err != nil || len(missing) != 1 {
			t.Errorf("missing %v, %v", missing, err)
		}
		if err := k.retain(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := k.sweepList(t.Context(), time.Now().Add(48*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	back()
	if got, err := k.Blobs().Get(t.Context(), part); err != nil || string(got) != "part" {
		t.Errorf("after it was back: %q, %v", got, err)
	}
	if missing, err := k.Blobs().Missing(t.Context(), []fleet.Digest{part}); err != nil || len(missing) > 0 {
		t.Errorf("after it was back, missing are %v, %v", missing, err)
	}
	if n := len(k.objectKeys()); n != 2 {
		t.Errorf("%d objects, want two", n)
	}
}

// What object storage lost or damaged is missing from then on, so that whoever has it stores it again. The row, and what
// reaches it, stays.
func TestLostObjectsAreStoredAgain(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]func(*kept, fleet.Digest){
		"damaged": (*kept).damage,
		"gone": func(k *kept, digest fleet.Digest) {
			if err := k.s3.Delete("blobs", k.object(digest)); err != nil {
				k.t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := openKept(t, lab.TestDatabaseFrom(t, "schema", Migrate), testS3(t))
			part := k.put("part")
			if err := k.Blobs().PutWhole(t.Context(), []byte("whole"), []fleet.Digest{part}); err != nil {
				t.Fatal(err)
			}
			harm(k, part)
			if _, err := k.Blobs().Get(t.Context(), part); !errors.Is(err, fleet.ErrNotFound) {
				t.Errorf("Get: %v, want not found", err)
			}
			if missing, err := k.Blobs().Missing(t.Context(), []fleet.Digest{part}); err != nil || len(missing) != 1 {
				t.Errorf("missing %v, %v", missing, err)
			}
			k.put("part")
			if got, err := k.Blobs().Get(t.Context(), part); err != nil || string(got) != "part" {
				t.Errorf("after it was stored again: %q, %v", got, err)
			}
			if n := k.count(t, `blob_part`); n != 1 {
				t.Errorf("%d parts", n)
			}
		})
	}
}

// A Tree whose root, inner node or file is lost is whole again once all of it was put again.
func TestLostNodesAreStoredAgain(t *testing.T) {
	t.Parallel()
	node := func(text string, parts ...fleet.Digest) artifact.Node {
		return artifact.Node{Digest: fleet.DigestOf([]byte(text)), Data: []byte(text), Parts: parts}
	}
	file := node("file")
	inner := node("inner", file.Digest)
	root := node("root", inner.Digest)
	for name, lost := range map[string]struct {
		node artifact.Node
		kept map[fleet.Digest]bool
	}{
		"root":  {root, map[fleet.Digest]bool{root.Digest: false, inner.Digest: true}},
		"inner": {inner, map[fleet.Digest]bool{root.Digest: false, inner.Digest: false}},
		"file":  {file, map[fleet.Digest]bool{root.Digest: true, inner.Digest: false}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := openKept(t, lab.TestDatabaseFrom(t, "schema", Migrate), testS3(t))
			nodes := []artifact.Node{inner, root}
			put := func() {
				k.put("file")
				if err := k.Blobs().PutNodes(t.Context(), nodes[:1]); err != nil {
					t.Fatal(err)
				}
				if err := k.Blobs().PutWhole(t.Context(), root.Data, root.Parts); err != nil {
					t.Fatal(err)
				}
			}
			put()
			k.damage(lost.node.Digest)
			if _, err := k.Blobs().Get(t.Context(), lost.node.Digest); !errors.Is(err, fleet.ErrNotFound) {
				t.Errorf("Get: %v, want not found", err)
			}
			kept, err := k.Blobs().Kept(t.Context(), nodes)
			if err != nil || !maps.Equal(kept, lost.kept) {
				t.Errorf("kept %v, %v; want %v", kept, err, lost.kept)
			}
			put()
			for _, n := range []artifact.Node{file, inner, root} {
				if got, err := k.Blobs().Get(t.Context(), n.Digest); err != nil || !bytes.Equal(got, n.Data) {
					t.Errorf("after it was stored again: %q, %v", got, err)
				}
			}
			if n := k.count(t, `blob_part`); n != 2 {
				t.Errorf("%d parts", n)
			}
		})
	}
}

// The storage being away is no loss: the error says so, nothing is named that is not there, and the next try succeeds.
func TestObjectStorageThatIsAwayLosesNothing(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]lab.Fault{
		"broken": lab.Reset, "half": lab.Half, "errors": lab.Status(503), "refused": lab.Status(403), "garbage": lab.Garbage,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := openKept(t, lab.TestDatabaseFrom(t, "schema", Migrate), testS3(t))
			first := k.put("first")
			heal := k.harm(fault)
			second := fleet.DigestOf([]byte("second"))
			if name != "half" && name != "garbage" { // those break the answer alone
				if err := k.Blobs().Put(t.Context(), map[fleet.Digest][]byte{second: []byte("second")}); !errors.Is(err, fleet.ErrUnavailable) {
					t.Errorf("Put: %v, want unavailable", err)
				} else if strings.Contains(err.Error(), lab.SecretOfServer) || strings.Contains(err.Error(), lab.SecretKey) {
					t.Errorf("Put shows what is not to be shown: %v", err)
				}
				if n := k.count(t, `blob`); n != 1 {
					t.Errorf("%d rows, want one", n)
				}
			}
			data, err := k.Blobs().Get(t.Context(), first)
			if !errors.Is(err, fleet.ErrUnavailable) {
				t.Errorf("Get: %q, %v, want unavailable", data, err)
			}
			heal()
			k.put("second")
			for digest, want := range map[fleet.Digest]string{first: "first", second: "second"} {
				if got, err := k.Blobs().Get(t.Context(), digest); err != nil || string(got) != want {
					t.Errorf("%q, %v; want %q", got, err, want)
				}
			}
		})
	}
}

func TestOneBadMomentOfObjectStorageIsNotNoticed(t *testing.T) {
	t.Parallel()
	k := openKept(t, lab.TestDatabaseFrom(t, "schema", Migrate), testS3(t))
	for _, method := range []string{http.MethodPut, http.MethodGet} {
		var once sync.Once
		k.s3.SetFor(func(r *http.Request) (struck bool) {
			if r.Method == method {
				once.Do(func() { struck = true })
			}
			return struck
		}, lab.Status(500))
		digest := k.put("content")
		if got, err := k.Blobs().Get(t.Context(), digest); err != nil || string(got) != "content" {
			t.Errorf("%s: %q, %v", method, got, err)
		}
	}
}
