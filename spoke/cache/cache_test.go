package cache_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/cache"
)

// open returns the cache of a directory, closed when the test ends.
func open(t *testing.T, dir string, maxBytes int64) *cache.Cache {
	t.Helper()
	c, err := cache.Open(cache.Config{Dir: dir, MaxBytes: maxBytes, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// reopen is a restart of the spoke.
func reopen(t *testing.T, c *cache.Cache, dir string, maxBytes int64) *cache.Cache {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	return open(t, dir, maxBytes)
}

func put(t *testing.T, c *cache.Cache, content string) fleet.Digest {
	t.Helper()
	digest := fleet.DigestOf([]byte(content))
	if err := c.Put(map[fleet.Digest][]byte{digest: []byte(content)}); err != nil {
		t.Fatal(err)
	}
	return digest
}

// tenBytes is what a blob of ten bytes takes, with its head.
const tenBytes = 50

func has(t *testing.T, c *cache.Cache, content string) bool {
	t.Helper()
	got, err := c.Blob(fleet.DigestOf([]byte(content)))
	if err == nil && string(got) != content {
		t.Errorf("the blob of %q is %q", content, got)
	}
	if err != nil && !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("Blob = %v, want %v", err, fleet.ErrNotFound)
	}
	return err == nil
}

// files are the regular files below dir, by path.
func files(t *testing.T, dir string) map[string]fs.FileInfo {
	t.Helper()
	found := map[string]fs.FileInfo{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			found[path], err = entry.Info()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// record is something that the spoke keeps.
type record struct {
	Name  string
	Items map[string][]byte
}

var (
	state = record{Name: "state", Items: map[string][]byte{"a": []byte("an assignment"), "b": []byte("another")}}
	app   = record{Name: "apps/a", Items: map[string][]byte{"release": []byte("r1")}}
)

func save(c *cache.Cache, r record) { c.Save(r.Name, r) }

// saved reports whether the record is there; anything but what was saved fails the test.
func saved(t *testing.T, c *cache.Cache, want record) bool {
	t.Helper()
	var got record
	found := c.Load(want.Name, &got)
	if found && !reflect.DeepEqual(got, want) {
		t.Fatalf("a changed record was given out: %+v", got)
	}
	return found
}

func TestAllSurvivesARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := open(t, dir, 0)
	put(t, c, "blob")
	save(c, state)
	save(c, app)
	holder := c.Holder(func() string { return "me" })
	c = reopen(t, c, dir, 0)
	if !has(t, c, "blob") {
		t.Error("the blob is gone")
	}
	if !saved(t, c, state) || !saved(t, c, app) {
		t.Error("a record is gone")
	}
	if got := c.Holder(func() string { return "other" }); got != holder {
		t.Errorf("Holder = %q, want %q", got, holder)
	}
	c.Remove(app.Name)
	if saved(t, c, app) {
		t.Error("a removed record is there")
	}
}

func TestBytesThatDoNotHaveTheDigestAreRefused(t *testing.T) {
	t.Parallel()
	c := open(t, t.TempDir(), 0)
	digest := fleet.DigestOf([]byte("right"))
	if err := c.Put(map[fleet.Digest][]byte{digest: []byte("wrong")}); !errors.Is(err, fleet.ErrInvalid) || c.Has(digest) {
		t.Errorf("Put = %v, kept: %t", err, c.Has(digest))
	}
}

func TestDirectoryServesOneSpokeAtATime(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := open(t, dir, 0)
	if _, err := cache.Open(cache.Config{Dir: dir}); !errors.Is(err, fleet.ErrConflict) {
		t.Errorf("a second Open = %v, want %v", err, fleet.ErrConflict)
	}
	reopen(t, first, dir, 0)
}

func TestBlobsKeepToTheBoundDroppingTheLongestUnusedFirst(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := open(t, dir, 3*tenBytes)
	for _, content := range []string{"0123456789", "1123456789", "2123456789"} {
		put(t, c, content)
	}
	has(t, c, "0123456789") // used: the second is now the longest unused
	put(t, c, "3123456789")
	for content, want := range map[string]bool{"0123456789": true, "1123456789": false, "2123456789": true, "3123456789": true} {
		if got := has(t, c, content); got != want {
			t.Errorf("%s is there: %t, want %t", content, got, want)
		}
	}
	var size int64
	for path, info := range files(t, filepath.Join(dir, "blobs")) {
		if size += info.Size(); size > 3*tenBytes {
			t.Errorf("more than the bound on disk with %s", path)
		}
	}
}

func TestOrderOfUseSurvivesARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := open(t, dir, 3*tenBytes)
	for i, content := range []string{"0123456789", "1123456789", "2123456789"} {
		put(t, c, content)
		at := time.Now().Add(time.Duration(i-10) * 24 * time.Hour)
		for path, info := range files(t, filepath.Join(dir, "blobs")) {
			if time.Since(info.ModTime()) < time.Hour {
				if err := os.Chtimes(path, at, at); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	c = reopen(t, c, dir, 3*tenBytes)
	has(t, c, "0123456789") // reading sets the file's time
	c = reopen(t, c, dir, 3*tenBytes)
	put(t, c, "3123456789")
	if !has(t, c, "0123456789") || has(t, c, "1123456789") {
		t.Error("another than the longest unused was dropped")
	}
}

func TestPinnedBlobsStayBeyondTheBoundAndAreGivenUpWhenUnpinned(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := open(t, dir, 2*tenBytes)
	digests := []fleet.Digest{fleet.DigestOf([]byte("0123456789")), fleet.DigestOf([]byte("1123456789")), fleet.DigestOf([]byte("2123456789"))}
	c.Pin("a", digests)
	c.Pin("b", digests[:1])
	for _, content := range []string{"0123456789", "1123456789", "2123456789", "x"} {
		put(t, c, content)
	}
	for _, digest := range digests {
		if !c.Has(digest) {
			t.Errorf("pinned %s is gone", digest)
		}
	}
	if has(t, c, "x") {
		t.Error("what is not pinned stays although the bound is passed")
	}
	c.Unpin("a")
	put(t, c, "y")
	if !c.Has(digests[0]) || c.Has(digests[1]) {
		t.Error("after one owner let go, not what it alone had pinned was dropped first")
	}
}

// 1,000 times one bit of one file flips; nothing wrong is ever given out, and nothing stops.
func TestNoBitFlipIsEverGivenOut(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	random := rand.New(rand.NewPCG(1, 2))
	blobs := map[fleet.Digest][]byte{}
	for i := range 8 {
		content := bytes.Repeat([]byte{byte(i)}, 1+random.IntN(2000))
		blobs[fleet.DigestOf(content)] = content
	}
	dropped := 0
	c := open(t, dir, 0)
	for range 1000 {
		if err := c.Put(blobs); err != nil {
			t.Fatal(err)
		}
		for _, r := range []record{state, app} {
			if !saved(t, c, r) {
				save(c, r)
			}
		}
		flip(t, random, dir)
		for digest, content := range blobs {
			got, err := c.Blob(digest)
			switch {
			case err == nil && !bytes.Equal(got, content):
				t.Fatal("changed bytes were given out")
			case errors.Is(err, fleet.ErrNotFound) && !c.Has(digest):
				dropped++
			case err != nil:
				t.Fatal(err)
			}
		}
		for _, r := range []record{state, app} {
			if !saved(t, c, r) {
				dropped++
			}
		}
	}
	if dropped != 1000 {
		t.Errorf("%d of 1000 flips were noticed", dropped)
	}
}

func flip(t *testing.T, random *rand.Rand, dir string) {
	t.Helper()
	var paths []string
	for path, info := range files(t, dir) {
		if info.Size() > 0 {
			paths = append(paths, path)
		}
	}
	path := paths[random.IntN(len(paths))]
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	content[random.IntN(len(content))] ^= 1 << random.IntN(8)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestTruncatedFilesAreAbsent(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, size := range []int64{0, 1, 20, 90} {
		c := open(t, dir, 0)
		content := string(bytes.Repeat([]byte("x"), 200))
		put(t, c, content)
		save(c, state)
		save(c, app)
		for path := range files(t, dir) {
			if err := os.Truncate(path, size); err != nil {
				t.Fatal(err)
			}
		}
		c = reopen(t, c, dir, 0)
		if has(t, c, content) {
			t.Errorf("cut to %d bytes, the blob is there", size)
		}
		if saved(t, c, state) || saved(t, c, app) {
			t.Errorf("cut to %d bytes, a record is there", size)
		}
		put(t, c, content)
		if !has(t, c, content) {
			t.Error("it cannot be stored again")
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestStrayFilesAreSweptAndHarmNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := open(t, dir, 0)
	put(t, c, "blob")
	before := files(t, filepath.Join(dir, "blobs"))
	for _, name := range []string{"xx", "ab/short", fmt.Sprintf("ab/%064d", 1), fmt.Sprintf("00/%065d", 1)} {
		path := filepath.Join(dir, "blobs", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c = reopen(t, c, dir, 0)
	after := files(t, filepath.Join(dir, "blobs"))
	if len(after) != len(before) || !has(t, c, "blob") {
		t.Errorf("left are %v", maps.Keys(after))
	}
}

func TestVolumeThatIsLostOrCannotBeWrittenNeverStopsTheSpoke(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(t *testing.T, dir string){
		"lost": func(t *testing.T, dir string) {
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
		},
		"a file in its place": func(t *testing.T, dir string) {
			if err := errors.Join(os.RemoveAll(dir), os.WriteFile(dir, nil, 0o600)); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "data")
			c := open(t, dir, 0)
			put(t, c, "before")
			save(c, state)
			spoil(t, dir)
			if has(t, c, "before") {
				t.Error("a lost blob is given out")
			}
			if saved(t, c, state) {
				t.Error("a lost record is given out")
			}
			put(t, c, "after")
			save(c, state)
			save(c, app)
			if !has(t, c, "after") {
				t.Error("what is stored after the loss is not there")
			}
			if !saved(t, c, state) || !saved(t, c, app) {
				t.Error("a record saved after the loss is not there")
			}
			c.Remove(app.Name)
			if saved(t, c, app) {
				t.Error("a removed record is there")
			}
			// A spoke that starts on such a volume.
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			c = open(t, dir, 0)
			put(t, c, "again")
			if !has(t, c, "again") {
				t.Error("after a start on it nothing can be stored")
			}
		})
	}
}

func TestBlobThatCannotBeReadForNowIsKeptAndReadLater(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := open(t, dir, 0)
	digest := put(t, c, "blob")
	var path string
	for path = range files(t, filepath.Join(dir, "blobs")) {
	}
	// A directory in its place fails reads as a lack of file descriptors does: nothing is said of the blob.
	aside := filepath.Join(dir, "aside")
	spoil := errors.Join(os.Rename(path, aside), os.MkdirAll(filepath.Join(path, "x"), 0o700))
	if spoil != nil {
		t.Fatal(spoil)
	}
	if _, err := c.Blob(digest); err == nil || errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("Blob = %v, want why it cannot be read", err)
	}
	if c.Has(digest) {
		t.Error("what cannot be read counts as there")
	}
	if err := errors.Join(os.RemoveAll(path), os.Rename(aside, path)); err != nil {
		t.Fatal(err)
	}
	if !c.Has(digest) || !has(t, c, "blob") {
		t.Error("it is not read again")
	}
}

func TestBlobThatCannotBeReadIsReplacedByTheSameBytes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := open(t, dir, tenBytes)
	digest := put(t, c, "0123456789")
	for path := range files(t, filepath.Join(dir, "blobs")) {
		if err := errors.Join(os.Remove(path), os.MkdirAll(filepath.Join(path, "x"), 0o700)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Blob(digest); err == nil {
		t.Fatal("a directory was read")
	}
	put(t, c, "0123456789")
	if !has(t, c, "0123456789") {
		t.Error("it cannot be stored again, or counts twice against the bound")
	}
}

func TestWhatWasPinnedUntilNowIsDroppedAfterWhatNobodyUsed(t *testing.T) {
	t.Parallel()
	c := open(t, t.TempDir(), 2*tenBytes)
	c.Pin("a", []fleet.Digest{put(t, c, "0123456789")})
	put(t, c, "1123456789")
	c.Unpin("a")
	put(t, c, "2123456789")
	if !has(t, c, "0123456789") || has(t, c, "1123456789") {
		t.Error("the blob in use until now was dropped first")
	}
}
