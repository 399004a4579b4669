package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

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
	"rows":    func(t *testing.T) *kept { return openKept(t, lab.TestDatabase(t), nil) },
	"objects": func(t *testing.T) *kept { return openKept(t, lab.TestDatabase(t), testS3(t)) },
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
			k := openKept(t, lab.TestDatabase(t), testS3(t))
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
			k := openKept(t, lab.TestDatabase(t), testS3(t))
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
			k := openKept(t, lab.TestDatabase(t), testS3(t))
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
	k := openKept(t, lab.TestDatabase(t), testS3(t))
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

// What goes from the table goes from the storage; what could not be removed, or has no row, is found later.
func TestObjectsGoWithTheirRows(t *testing.T) {
	t.Parallel()
	k := openKept(t, lab.TestDatabase(t), testS3(t))
	k.put("old")
	k.put("older")
	k.exec(t, `UPDATE blob SET used_at = now() - interval '2 days'`)
	fresh := k.put("fresh")
	if err := k.retain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if keys := k.objectKeys(); len(keys) != 1 || k.object(fresh) != keys[0] {
		t.Errorf("objects %v, want that of the fresh blob", keys)
	}
	heal := k.harm(lab.Status(503))
	k.exec(t, `UPDATE blob SET used_at = now() - interval '2 days'`)
	if err := k.retain(t.Context()); err != nil {
		t.Errorf("rows stay because the storage is away: %v", err)
	}
	heal()
	if n, keys := k.count(t, `blob`), k.objectKeys(); n != 0 || len(keys) != 1 {
		t.Errorf("%d rows, objects %v; want a row less and its object left over", n, keys)
	}
	again := k.put("fresh") // under another name
	if err := k.sweepList(t.Context(), time.Now().Add(-orphanAge)); err != nil {
		t.Fatal(err)
	}
	if keys := k.objectKeys(); len(keys) != 2 {
		t.Errorf("objects %v, want the young one too that no row names", keys)
	}
	if err := k.sweepList(t.Context(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if keys := k.objectKeys(); len(keys) != 1 {
		t.Errorf("objects %v, want the one that a row names", keys)
	}
	if got, err := k.Blobs().Get(t.Context(), again); err != nil || string(got) != "fresh" {
		t.Errorf("%q, %v", got, err)
	}
}

// A sweep that removes an object behind its row meets a replica that stores the same blob again in between.
func TestABlobThatIsStoredAgainWhileItGoesKeepsItsObject(t *testing.T) {
	t.Parallel()
	k := openKept(t, lab.TestDatabase(t), testS3(t))
	digest := k.put("content")
	var going []place
	rows, err := k.pool.Query(t.Context(), `DELETE FROM blob RETURNING digest, object`)
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		p, err := scanPlace(rows)
		if err != nil {
			t.Fatal(err)
		}
		going = append(going, p)
	}
	k.put("content")
	k.removeObjects(t.Context(), going)
	if got, err := k.Blobs().Get(t.Context(), digest); err != nil || string(got) != "content" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestTheListOfObjectsIsComparedOnceADay(t *testing.T) {
	t.Parallel()
	k := openKept(t, lab.TestDatabase(t), testS3(t))
	lists := func() int {
		before := k.s3.Lists()
		if err := k.retain(t.Context()); err != nil {
			t.Fatal(err)
		}
		return k.s3.Lists() - before
	}
	if n := lists(); n != 0 {
		t.Errorf("%d lists of a new store", n)
	}
	k.exec(t, `UPDATE hub SET blobs_listed_at = now() - interval '25 hours'`)
	if first, second := lists(), lists(); first != 1 || second != 0 {
		t.Errorf("%d lists, then %d; want one", first, second)
	}
}

func TestAllReplicasKeepBlobsInOnePlace(t *testing.T) {
	t.Parallel()
	url, s3 := lab.TestDatabase(t), testS3(t)
	try := func(change func(*Config)) error {
		config := keptConfig(url, s3)
		change(&config)
		s, err := Open(t.Context(), config)
		if err == nil {
			s.Close()
		}
		return err
	}
	same := func(*Config) {}
	rows := func(c *Config) { c.Objects = nil }
	for _, change := range []func(*Config){rows, same} { // an empty store goes where it is told
		if err := try(change); err != nil {
			t.Fatal(err)
		}
	}
	k := openKept(t, url, s3)
	k.put("content")
	other := testS3(t)
	for name, tc := range map[string]struct {
		change func(*Config)
		want   string // empty: it opens
	}{
		"the same":           {same, ""},
		"in rows":            {rows, "the blobs of this database are in s3://blobs/fleet/one: start every hub with --blobs for it, or move them"},
		"another prefix":     {func(c *Config) { c.Objects.Prefix = "two" }, "are in s3://blobs/fleet/one, not in s3://blobs/two"},
		"a mistyped address": {func(c *Config) { c.Objects.Endpoint = other.Host() }, "what is at that endpoint is another bucket, or was emptied: check --blobs"},
		"a wrong key":        {func(c *Config) { c.Objects.SecretKey = "wrong" }, "object storage refuses the hub's credential (SignatureDoesNotMatch)"},
	} {
		err := try(tc.change)
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
	if _, err := Open(t.Context(), keptConfig(lab.TestDatabase(t), s3)); !errors.Is(err, fleet.ErrConflict) || !strings.Contains(fmt.Sprint(err), "holds the blobs of another hub's database") {
		t.Errorf("a second hub's database at the same place: %v", err)
	}
	inRows := openKept(t, lab.TestDatabase(t), nil)
	inRows.put("content")
	if _, err := Open(t.Context(), keptConfig(inRows.url, other)); !errors.Is(err, fleet.ErrConflict) || !strings.Contains(fmt.Sprint(err), "are in the database, not in s3://blobs/fleet/one") {
		t.Errorf("objects where rows are: %v", err)
	}
	// A replica that runs on while the others were told of another place adds nothing to the old one.
	inRows.exec(t, `UPDATE hub SET blobs = 's3://elsewhere'`)
	if err := inRows.Blobs().Put(context.WithoutCancel(t.Context()), map[fleet.Digest][]byte{fleet.DigestOf([]byte("x")): []byte("x")}); !errors.Is(err, fleet.ErrConflict) {
		t.Errorf("Put: %v", err)
	}
}

// Replicas that start together on an empty storage mark it at once.
func TestReplicasThatMarkAStorageTogetherAllHaveIt(t *testing.T) {
	t.Parallel()
	s3 := testS3(t)
	k := openKept(t, lab.TestDatabase(t), s3)
	for i := range 10 {
		config := *keptConfig(k.url, s3).Objects
		config.Prefix = fmt.Sprint("race/", i)
		o, err := openObjects(config)
		if err != nil {
			t.Fatal(err)
		}
		errs := make([]error, 8)
		var group sync.WaitGroup
		for n := range errs {
			group.Go(func() { errs[n] = k.markObjects(t.Context(), o) })
		}
		group.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Fatalf("one that came second: %v", err)
		}
	}
}

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

func TestObjectStorageIsGivenByURLWithoutItsCredential(t *testing.T) {
	t.Parallel()
	got, err := ParseObjects("s3://blobs/fleet/one/?endpoint=minio:9000&region=eu-1&insecure=true")
	if want := (Objects{Bucket: "blobs", Prefix: "fleet/one", Endpoint: "minio:9000", Region: "eu-1", Insecure: true}); err != nil || got != want {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	if got.Name() != "s3://blobs/fleet/one" || (Objects{Bucket: "b"}).Name() != "s3://b" {
		t.Errorf("name %s", got.Name())
	}
	for text, want := range map[string]string{
		"": "not the URL of a bucket", "http://x/y": "not the URL of a bucket", "s3://": "not the URL of a bucket", "s3://b": "endpoint is not host or host:port",
		"s3://b?endpoint=https://x": "endpoint is not host", "s3://canary:canary@b?endpoint=x": "FLOTILLA_BLOBS_ACCESS_KEY",
		"s3://b?endpoint=x&secret=canary": "other keys than endpoint, region and insecure", "s3://b?endpoint=x&insecure=maybe": "neither true nor false",
	} {
		if _, err := ParseObjects(text); !errors.Is(err, fleet.ErrInvalid) || !strings.Contains(fmt.Sprint(err), want) || strings.Contains(fmt.Sprint(err), "canary") {
			t.Errorf("%q: %v, want %q", text, err, want)
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
