package cache

import "flotilla.dev/flotilla/pkg/fleet"

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
