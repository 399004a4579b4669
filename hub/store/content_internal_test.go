package store

import (
	"bytes"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/artifact/artifacttest"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/test/lab"
)

// kept is a Store, and ways to harm where it keeps the bytes of blobs.
type kept struct {
	*Store
	t   *testing.T
	url string
	s3  *lab.S3 // nil: the database keeps them
}

// keepers are the implementations of content.
var keepers = map[string]func(*testing.T) *kept{
	"rows":    func(t *testing.T) *kept { return openKept(t, lab.TestDatabaseFrom(t, "schema", Migrate), nil) },
	"objects": func(t *testing.T) *kept { return openKept(t, lab.TestDatabaseFrom(t, "schema", Migrate), testS3(t)) },
}

func testS3(t *testing.T) *lab.S3 {
	t.Helper()
	s3 := lab.TestS3(t, lab.S3Config{})
	if err := s3.MakeBucket("blobs"); err != nil {
		t.Fatal(err)
	}
	return s3
}

func keptConfig(url string, s3 *lab.S3) Config {
	config := Config{URL: url, Sealer: noSeal{}, KeyFingerprint: fleet.DigestOf([]byte("key")), Log: slog.New(slog.DiscardHandler), MaxConnections: 4}
	if s3 != nil {
		config.Objects = &Objects{
			Bucket: "blobs", Prefix: "fleet/one", Endpoint: s3.Host(), Region: "us-east-1", Insecure: true, AccessKey: lab.AccessKey, SecretKey: lab.SecretKey,
		}
	}
	return config
}

func openKept(t *testing.T, url string, s3 *lab.S3) *kept {
	t.Helper()
	s, err := Open(t.Context(), keptConfig(url, s3))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return &kept{s, t, url, s3}
}

// forEachKeeper runs a test on both.
func forEachKeeper(t *testing.T, test func(t *testing.T, k *kept)) {
	t.Helper()
	t.Parallel()
	for name, open := range keepers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

func (k *kept) put(content string) fleet.Digest {
	k.t.Helper()
	digest := fleet.DigestOf([]byte(content))
	if err := k.Blobs().Put(k.t.Context(), map[fleet.Digest][]byte{digest: []byte(content)}); err != nil {
		k.t.Fatal(err)
	}
	return digest
}

// objectKeys are those of blobs' objects.
func (k *kept) objectKeys() []string {
	k.t.Helper()
	if k.s3 == nil {
		return nil
	}
	keys, err := k.s3.Keys("blobs")
	if err != nil {
		k.t.Fatal(err)
	}
	return slices.DeleteFunc(keys, func(key string) bool { return !strings.HasPrefix(key, "fleet/one/blobs/") })
}

// object is the key of the blob's object.
func (k *kept) object(digest fleet.Digest) string {
	k.t.Helper()
	for _, key := range k.objectKeys() {
		if p, ours := k.objects.place(key); ours && p.digest == digest {
			return key
		}
	}
	k.t.Fatalf("blob %s has no object", digest)
	return ""
}

// damage changes the stored bytes.
func (k *kept) damage(digest fleet.Digest) {
	k.t.Helper()
	if k.s3 == nil {
		k.exec(k.t, `UPDATE blob_chunk SET data = 'other' WHERE digest = $1`, digest.Bytes())
		return
	}
	if err := k.s3.Put("blobs", k.object(digest), "other"); err != nil {
		k.t.Fatal(err)
	}
}

// harm makes the storage of bytes fail until the returned function is called.
func (k *kept) harm(fault lab.Fault) (heal func()) {
	if k.s3 != nil {
		k.s3.Set(fault)
		return k.s3.Clear
	}
	return func() {}
}

func TestBlobsAreAStoreWhereverTheirBytesAre(t *testing.T) {
	t.Parallel()
	for name, open := range keepers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			artifacttest.RunStore(t, func(t *testing.T) artifact.Store { return open(t).Blobs() })
		})
	}
}

func TestAWholeAndItsPartsComeBackTogether(t *testing.T) {
	forEachKeeper(t, func(t *testing.T, k *kept) {
		a, b := k.put("a"), k.put("")
		if err := k.Blobs().PutWhole(t.Context(), []byte("whole"), []fleet.Digest{b, a}); err != nil {
			t.Fatal(err)
		}
		whole := fleet.DigestOf([]byte("whole"))
		got, err := k.Blobs().GetAll(t.Context(), []fleet.Digest{whole, a, b, a})
		if err != nil || len(got) != 3 || string(got[whole]) != "whole" || string(got[a]) != "a" || len(got[b]) != 0 {
			t.Errorf("GetAll: %v, %v", got, err)
		}
		if _, err := k.Blobs().GetAll(t.Context(), []fleet.Digest{a, fleet.DigestOf([]byte("never"))}); !errors.Is(err, fleet.ErrNotFound) {
			t.Errorf("GetAll with one that is not there: %v", err)
		}
		if err := k.Blobs().PutWhole(t.Context(), []byte("other"), []fleet.Digest{fleet.DigestOf([]byte("never"))}); !errors.Is(err, fleet.ErrConflict) {
			t.Errorf("a whole with a part that is not there: %v", err)
		}
	})
}

func TestALargeBlobComesBackAsItIs(t *testing.T) {
	forEachKeeper(t, func(t *testing.T, k *kept) {
		data := make([]byte, 40<<20)
		_, _ = rand.NewChaCha8([32]byte{2}).Read(data) // it never fails
		digest := fleet.DigestOf(data)
		if err := k.Blobs().Put(t.Context(), map[fleet.Digest][]byte{digest: data}); err != nil {
			t.Fatal(err)
		}
		if got, err := k.Blobs().Get(t.Context(), digest); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	})
}

func TestOneBlobThatManyPutAtOnceIsStoredOnce(t *testing.T) {
	forEachKeeper(t, func(t *testing.T, k *kept) {
		second := openKept(t, k.url, k.s3) // another replica
		var group sync.WaitGroup
		for i := range 8 {
			replica := k
			if i%2 == 1 {
				replica = second
			}
			group.Go(func() { replica.put("the same") })
		}
		group.Wait()
		if got, err := second.Blobs().Get(t.Context(), fleet.DigestOf([]byte("the same"))); err != nil || string(got) != "the same" {
			t.Errorf("%q, %v", got, err)
		}
		if n := k.count(t, `blob`); n != 1 {
			t.Errorf("%d rows", n)
		}
		if keys := k.objectKeys(); k.s3 != nil && len(keys) != 1 {
			t.Errorf("objects %v, want one", keys)
		}
	})
}
