package cache

import (
	"bytes"
	"container/list"
	"fmt"
	"slices"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/telemetry"
)

// blob is one indexed blob.
type blob struct {
	digest fleet.Digest
	size   int64
	// bundle has it, at offset; nil: it could not be written, and content is it.
	bundle  *bundle
	offset  int64
	content []byte
	// place is where it stands among those that may go; nil while it is pinned.
	place *list.Element
	// unread says that the last try to read it failed, for a reason that says nothing of the blob.
	unread bool
}

// Blob returns the bytes with that digest. Absent, or found corrupt and dropped: fleet.ErrNotFound. One that cannot be
// read for now, as when too many files are open, is kept: the error is another.
func (c *Cache) Blob(digest fleet.Digest) ([]byte, error) {
	for {
		found, touch := c.use(digest)
		switch {
		case found.digest.IsZero():
			return nil, fmt.Errorf("cached blob %s: %w", digest, fleet.ErrNotFound)
		case found.bundle == nil:
			return found.content, nil
		}
		content, err := found.read()
		if err == nil {
			c.note(digest, false)
			if touch {
				found.bundle.touch()
			}
			return content, nil
		}
		if moved := c.fail(found, err); moved {
			continue
		}
		if isCorrupt(err) || isAbsent(err) {
			err = fleet.ErrNotFound
		}
		return nil, fmt.Errorf("cached blob %s: %w", digest, err)
	}
}

// fail deals with a blob that was not read; moved says that it stands elsewhere by now.
func (c *Cache) fail(was blob, err error) (moved bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	entry := c.blobs[was.digest]
	switch {
	case entry == nil:
		return true
	case entry.bundle != was.bundle:
		return true
	case !isCorrupt(err) && !isAbsent(err):
		entry.unread = true
		c.log.Warn("a cached blob cannot be read for now; kept", telemetry.KeyDigest, was.digest, telemetry.KeyErr, err)
		return false
	}
	c.metrics.corrupt.Inc()
	c.log.Warn("a cached blob cannot be used; dropped", telemetry.KeyDigest, was.digest, telemetry.KeyErr, err)
	c.drop(entry)
	if isCorrupt(err) {
		c.rewrite(was.bundle) // or a restart would find it again
	}
	return false
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

// Put stores blobs, those that come together in one file, and drops others, the longest unused first, that are beyond
// the bound and not pinned. Bytes that do not have their digest are a fleet.ErrInvalid, and nothing is stored. It does
// not wait for the disk: what a power failure takes is fetched again.
func (c *Cache) Put(contents map[fleet.Digest][]byte) error {
	var fresh []*blob
	for digest, content := range contents {
		if fleet.DigestOf(content) != digest {
			return fmt.Errorf("cache blob %s: %w: the bytes have another digest", digest, fleet.ErrInvalid)
		}
		if c.Has(digest) {
			c.use(digest)
			continue
		}
		fresh = append(fresh, &blob{digest: digest, size: int64(len(content)), content: content})
	}
	if len(fresh) == 0 {
		return nil
	}
	slices.SortFunc(fresh, func(a, b *blob) int { return bytes.Compare(a.digest[:], b.digest[:]) })
	if err := c.bundle(fresh); err != nil {
		c.log.Warn("blobs cannot be written; kept in memory", "blobs", len(fresh), telemetry.KeyErr, err)
		for _, entry := range fresh {
			entry.content = slices.Clone(entry.content)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, entry := range fresh {
		if old := c.blobs[entry.digest]; old != nil && old.unread {
			c.drop(old)
		}
		c.add(entry)
	}
	c.evict()
	return nil
}

// use moves a blob to the front, and returns what there is to know of it; the zero blob: it is not there. Touch says to
// set its file's time.
func (c *Cache) use(digest fleet.Digest) (found blob, touch bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	entry := c.blobs[digest]
	if entry == nil {
		return blob{}, false
	}
	if entry.place != nil {
		c.recent.MoveToFront(entry.place)
	}
	if now := time.Now(); entry.bundle != nil && now.Sub(entry.bundle.touched) > touchPeriod {
		entry.bundle.touched, touch = now, true
	}
	return *entry, touch
}

// add takes a blob into the index, unless it is there.
func (c *Cache) add(entry *blob) {
	if c.blobs[entry.digest] != nil {
		c.leave(entry) // another got there first, with the same bytes
		return
	}
	if c.owners[entry.digest] == 0 {
		entry.place = c.recent.PushFront(entry)
	}
	c.blobs[entry.digest] = entry
	if entry.bundle == nil {
		c.grow(entry.size)
	}
}

// drop takes a blob out of the index, and its file away if nothing else is in it.
func (c *Cache) drop(entry *blob) {
	if entry.place != nil {
		c.recent.Remove(entry.place)
		entry.place = nil
	}
	delete(c.blobs, entry.digest)
	if entry.bundle == nil {
		c.grow(-entry.size)
		return
	}
	c.leave(entry)
}

// evict drops blobs that nobody has pinned, the longest unused first, until the bound is kept.
func (c *Cache) evict() {
	for c.bytes > c.max && c.recent.Len() > 0 {
		entry := c.recent.Back().Value.(*blob)
		c.drop(entry)
		if b := entry.bundle; b != nil && b.left > 0 && b.left < b.size/2 {
			c.rewrite(b)
		}
		c.metrics.evicted.Inc()
	}
}

// grow counts bytes that the blobs take on disk or in memory.
func (c *Cache) grow(bytes int64) {
	c.bytes += bytes
	c.metrics.bytes.Set(float64(c.bytes))
}
