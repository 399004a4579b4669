package cache

import (
	"container/list"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/telemetry"
)

// touchPeriod is how exactly the order of use survives a restart: a file's time is set at most so often.
const touchPeriod = time.Hour

// blob is one indexed blob.
type blob struct {
	digest fleet.Digest
	size   int64
	// place is where it stands among those that may go; nil while it is pinned.
	place   *list.Element
	touched time.Time
	// content is set when the blob could not be written.
	content []byte
	// unread says that the last try to read it failed, for a reason that says nothing of the blob.
	unread bool
}

// Blob returns the bytes with that digest. Absent, or found corrupt and dropped: fleet.ErrNotFound. One that cannot be
// read for now, as when too many files are open, is kept: the error is another.
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
	switch {
	case err == nil && fleet.DigestOf(content) == digest:
		c.note(digest, false)
		if touch {
			now := time.Now()
			_ = os.Chtimes(path, now, now) // the order after a restart is a hint
		}
		return content, nil
	case err == nil:
		err = fmt.Errorf("%w: its content has another digest", fleet.ErrInvalid)
	case !isAbsent(err):
		c.note(digest, true)
		c.log.Warn("a cached blob cannot be read for now; kept", telemetry.KeyDigest, digest, telemetry.KeyErr, err)
		return nil, fmt.Errorf("cached blob %s: %w", digest, err)
	}
	c.metrics.corrupt.Inc()
	c.log.Warn("a cached blob cannot be used; dropped", telemetry.KeyDigest, digest, telemetry.KeyErr, err)
	c.mu.Lock()
	c.drop(digest)
	c.mu.Unlock()
	return nil, fmt.Errorf("cached blob %s: %w", digest, fleet.ErrNotFound)
}

// isAbsent reports whether a read failed because there is no such file, as on a volume that was lost.
func isAbsent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// note keeps whether the last try to read a blob failed.
func (c *Cache) note(digest fleet.Digest, unread bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if entry := c.blobs[digest]; entry != nil {
		entry.unread = unread
	}
}

// Has reports whether a blob is there. Only one that could not be read the last time is read for that.
func (c *Cache) Has(digest fleet.Digest) bool {
	c.mu.Lock()
	entry := c.blobs[digest]
	unread := entry != nil && entry.unread
	c.mu.Unlock()
	if unread {
		_, err := c.Blob(digest)
		return err == nil
	}
	return entry != nil
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
	if old := c.blobs[digest]; old != nil && old.unread {
		c.forget(old)
	}
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
	before := c.pins[owner]
	c.pins[owner] = pinned
	for digest := range pinned {
		if _, had := before[digest]; !had {
			c.hold(digest)
		}
	}
	for digest := range before {
		if _, has := pinned[digest]; !has {
			c.release(digest)
		}
	}
}

// Unpin lets go of all that the owner had pinned.
func (c *Cache) Unpin(owner string) {
	c.Pin(owner, nil)
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.pins, owner)
}

// hold counts one more owner of a blob; it may not go any more.
func (c *Cache) hold(digest fleet.Digest) {
	c.owners[digest]++
	if entry := c.blobs[digest]; entry != nil && entry.place != nil {
		c.recent.Remove(entry.place)
		entry.place = nil
	}
}

// release counts one owner less; without any, the blob may go, as one that was used until now.
func (c *Cache) release(digest fleet.Digest) {
	if c.owners[digest]--; c.owners[digest] > 0 {
		return
	}
	delete(c.owners, digest)
	if entry := c.blobs[digest]; entry != nil {
		entry.place = c.recent.PushFront(entry)
	}
}

// use moves a blob to the front. Its content is set when it is held in memory; touch says to set its file's time.
func (c *Cache) use(digest fleet.Digest) (content []byte, touch, found bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	entry := c.blobs[digest]
	if entry == nil {
		return nil, false, false
	}
	if entry.place != nil {
		c.recent.MoveToFront(entry.place)
	}
	if now := time.Now(); now.Sub(entry.touched) > touchPeriod {
		entry.touched, touch = now, true
	}
	return entry.content, touch, true
}

func (c *Cache) add(entry *blob) {
	if c.blobs[entry.digest] != nil {
		return // another got there first, with the same bytes
	}
	if c.owners[entry.digest] == 0 {
		entry.place = c.recent.PushFront(entry)
	}
	c.blobs[entry.digest] = entry
	c.bytes += entry.size
	c.metrics.bytes.Set(float64(c.bytes))
}

func (c *Cache) drop(digest fleet.Digest) {
	entry := c.blobs[digest]
	if entry == nil {
		return
	}
	c.forget(entry)
	_ = os.Remove(c.blobPath(digest)) // left behind, it is indexed and dropped again after a restart
}

// forget takes a blob out of the index; its file stays.
func (c *Cache) forget(entry *blob) {
	if entry.place != nil {
		c.recent.Remove(entry.place)
	}
	delete(c.blobs, entry.digest)
	c.bytes -= entry.size
	c.metrics.bytes.Set(float64(c.bytes))
}

// evict drops blobs that nobody has pinned, the longest unused first, until the bound is kept.
func (c *Cache) evict() {
	for c.bytes > c.max && c.recent.Len() > 0 {
		c.drop(c.recent.Back().Value.(*blob).digest)
		c.metrics.evicted.Inc()
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
