package cache_test

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/cache"
)

// together are blobs of ten bytes that come in one call.
func together(t *testing.T, c *cache.Cache, n int) (digests []fleet.Digest) {
	t.Helper()
	contents := map[fleet.Digest][]byte{}
	for i := range n {
		content := fmt.Appendf(nil, "%010d", i)
		digests = append(digests, fleet.DigestOf(content))
		contents[digests[i]] = content
	}
	if err := c.Put(contents); err != nil {
		t.Fatal(err)
	}
	return digests
}

func TestBlobsThatComeTogetherAreOneFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := open(t, dir, 0)
	together(t, c, 100)
	if n := len(files(t, filepath.Join(dir, "blobs"))); n != 1 {
		t.Errorf("they are %d files", n)
	}
	c = reopen(t, c, dir, 0)
	for i := range 100 {
		if content := fmt.Sprintf("%010d", i); !has(t, c, content) {
			t.Errorf("after a restart %s is gone", content)
		}
	}
}

func TestAFileOfWhichMostIsDroppedMakesRoom(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const bound = 30 * tenBytes
	c := open(t, dir, bound)
	digests := together(t, c, 20)
	c.Pin("a", digests[:3])
	for i := range 25 {
		put(t, c, fmt.Sprintf("x%09d", i))
	}
	var size int64
	for _, info := range files(t, filepath.Join(dir, "blobs")) {
		size += info.Size()
	}
	if size > bound {
		t.Errorf("%d bytes are on disk, more than %d", size, bound)
	}
	c = reopen(t, c, dir, bound)
	for i := range 3 {
		if !has(t, c, fmt.Sprintf("%010d", i)) {
			t.Errorf("the pinned blob %d is gone", i)
		}
	}
	for i := range 25 {
		if !has(t, c, fmt.Sprintf("x%09d", i)) {
			t.Errorf("blob %d, for which room was made, is gone", i)
		}
	}
}

func TestOfAFileThatIsCutOffTheBlobsBeforeAreThere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := open(t, dir, 0)
	digests := together(t, c, 10)
	for path, info := range files(t, filepath.Join(dir, "blobs")) {
		if err := os.Truncate(path, info.Size()-1); err != nil {
			t.Fatal(err)
		}
	}
	c = reopen(t, c, dir, 0)
	there := 0
	for _, digest := range digests {
		if _, err := c.Blob(digest); err == nil {
			there++
		}
	}
	if there != 9 {
		t.Errorf("%d of 10 blobs are there, of which the last lost a byte", there)
	}
}

func TestALengthThatCannotBeRightIsNoBlobs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := open(t, dir, 0)
	put(t, c, "blob")
	for path := range files(t, filepath.Join(dir, "blobs")) {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		content[32] = 0x7f // the highest byte of the length, after the digest
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c = reopen(t, c, dir, 0)
	if has(t, c, "blob") {
		t.Error("a blob is given out of a file that is not as it was written")
	}
	put(t, c, "blob")
	if !has(t, c, "blob") {
		t.Error("it cannot be stored again")
	}
}

func TestBlobsAreReadWhileTheirFilesAreRewritten(t *testing.T) {
	t.Parallel()
	const rounds, kept = 40, 3
	c := open(t, t.TempDir(), 2*rounds*kept*tenBytes)
	var pinned atomic.Int64 // rounds whose blobs stay
	content := func(round, i int) string { return fmt.Sprintf("%05d%05d", round, i) }
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				n := int(pinned.Load())
				if n == 0 {
					continue
				}
				want := content(n-1-i%min(n, 2), i%kept)
				if got, err := c.Blob(fleet.DigestOf([]byte(want))); err != nil || string(got) != want {
					t.Errorf("a pinned blob is %q, %v", got, err)
					return
				}
			}
		})
	}
	for round := range rounds {
		contents := map[fleet.Digest][]byte{}
		var stay []fleet.Digest
		for i := range 10 * kept {
			text := []byte(content(round, i))
			contents[fleet.DigestOf(text)] = text
			if i < kept {
				stay = append(stay, fleet.DigestOf(text))
			}
		}
		c.Pin(fmt.Sprint(round), stay)
		if err := c.Put(contents); err != nil {
			t.Fatal(err)
		}
		pinned.Add(1)
	}
	close(stop)
	readers.Wait()
}
