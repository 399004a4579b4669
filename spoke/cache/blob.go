package cache

import (
	"container/list"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/telemetry"
)

// touchPeriod is how exactly the order of use survives a restart: a file's time is set at most so often.
const touchPeriod = time.Hour

// blob is one indexed blob.
type blob struct {
	digest  fleet.Digest
	size    int64
	place   *list.Element
	touched time.Time
	// content is set when the blob could not be written.
	content []byte
}

// Blob returns the bytes with that digest. Absent, or found corrupt and dropped: fleet.ErrNotFound.
func (c *Cache) Blob(digest fleet.Digest) ([]byte, error) {
	content, touch, found := c.use(digest)
	if !found {
		return nil, fmt.Errorf("cached blob %s: %w", digest, fleet.ErrNotFound)
	}
	if content != nil {
		return content, nil
	}
	path := c.blobPath(digest)
	content, err := os.ReadFile(path)
	if err == nil && fleet.DigestOf(content) == digest {
		if touch {
			now := time.Now()
			_ = os.Chtimes(path, now, now) // the order after a restart is a hint
		}
		return content, nil
	}
	if err == nil {
		err = fmt.Errorf("%w: its content has another digest", fleet.ErrInvalid)
	}
	c.metrics.corrupt.Inc()
	c.log.Warn("a cached blob cannot be used; dropped", telemetry.KeyDigest, digest, telemetry.KeyErr, err)
	c.mu.Lock()
	c.drop(digest)
	c.mu.Unlock()
	return nil, fmt.Errorf("cached blob %s: %w", digest, fleet.ErrNotFound)
}

// Has reports whether a blob is there, without reading it.
func (c *Cache) Has(digest fleet.Digest) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.blobs[digest] != nil
}

// Put stores a blob and drops others, the longest unused first, that are beyond the bound and not pinned. Bytes that
// do not have the digest are a fleet.ErrInvalid. It does not wait for the disk: what a power failure takes is fetched
// again.
func (c *Cache) Put(digest fleet.Digest, content []byte) error {
	if fleet.DigestOf(content) != digest {
		return fmt.Errorf("cache blob %s: %w: the bytes have another digest", digest, fleet.ErrInvalid)
	}
	if c.Has(digest) {
		c.use(digest)
		return nil
	}
	entry := &blob{digest: digest, size: int64(len(content)), touched: time.Now()}
	path := c.blobPath(digest)
	err := os.WriteFile(path, content, 0o600)
	if err != nil { // the first of its directory, perhaps
		if err = os.MkdirAll(filepath.Dir(path), 0o700); err == nil {
			err = os.WriteFile(path, content, 0o600)
		}
	}
	if err != nil {
		c.log.Warn("a blob cannot be written; kept in memory", telemetry.KeyDigest, digest, telemetry.KeyErr, err)
		entry.content = slices.Clone(content)
		_ = os.Remove(path)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add(entry)
	c.evict()
	return nil
}

// Pin keeps exactly these blobs for the owner, present or yet to come, in place of what it had pinned before.
func (c *Cache) Pin(owner string, digests []fleet.Digest) {
	pinned := make(map[fleet.Digest]struct{}, len(digests))
	for _, digest := range digests {
		pinned[digest] = struct{}{}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pins[owner] = pinned
}

// Unpin lets go of all that the owner had pinned.
func (c *Cache) Unpin(owner string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.pins, owner)
}

// use moves a blob to the front. Its content is set when it is held in memory; touch says to set its file's time.
func (c *Cache) use(digest fleet.Digest) (content []byte, touch, found bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	entry := c.blobs[digest]
	if entry == nil {
		return nil, false, false
	}
	c.recent.MoveToFront(entry.place)
	if now := time.Now(); now.Sub(entry.touched) > touchPeriod {
		entry.touched, touch = now, true
	}
	return entry.content, touch, true
}

func (c *Cache) add(entry *blob) {
	if c.blobs[entry.digest] != nil {
		return // another got there first, with the same bytes
	}
	entry.place = c.recent.PushFront(entry)
	c.blobs[entry.digest] = entry
	c.bytes += entry.size
	c.metrics.bytes.Set(float64(c.bytes))
}

func (c *Cache) drop(digest fleet.Digest) {
	entry := c.blobs[digest]
	if entry == nil {
		return
	}
	c.recent.Remove(entry.place)
	delete(c.blobs, digest)
	c.bytes -= entry.size
	c.metrics.bytes.Set(float64(c.bytes))
	_ = os.Remove(c.blobPath(digest)) // left behind, it is indexed and dropped again after a restart
}

// evict drops unpinned blobs, the longest unused first, until the bound is kept.
func (c *Cache) evict() {
	if c.bytes <= c.max {
		return
	}
	pinned := map[fleet.Digest]struct{}{}
	for _, owner := range c.pins {
		for digest := range owner {
			pinned[digest] = struct{}{}
		}
	}
	for place := c.recent.Back(); place != nil && c.bytes > c.max; {
		entry := place.Value.(*blob)
		place = place.Prev()
		if _, keep := pinned[entry.digest]; !keep {
			c.drop(entry.digest)
			c.metrics.evicted.Inc()
		}
	}
}

// index finds the blobs of an earlier process, in the order of their use. Other files in their place are removed.
func (c *Cache) index() {
	var found []*blob
	_ = filepath.WalkDir(filepath.Join(c.dir, "blobs"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return nil // what cannot be listed is not there
		}
		var digest fleet.Digest
		info, err := entry.Info()
		if n, decodeErr := hex.Decode(digest[:], []byte(entry.Name()[:min(64, len(entry.Name()))])); err != nil ||
			decodeErr != nil || n != len(digest) || c.blobPath(digest) != path || !info.Mode().IsRegular() {
			_ = os.Remove(path)
			return nil
		}
		found = append(found, &blob{digest: digest, size: info.Size(), touched: info.ModTime()})
		return nil
	})
	slices.SortFunc(found, func(a, b *blob) int { return a.touched.Compare(b.touched) })
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, entry := range found {
		c.add(entry)
	}
	// No eviction before the first Put: until then nothing is pinned.
}

func (c *Cache) blobPath(digest fleet.Digest) string {
	name := hex.EncodeToString(digest[:])
	return filepath.Join(c.dir, "blobs", name[:2], name)
}
