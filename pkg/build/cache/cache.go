package cache

import "sync"

// overhead is about what keeping something takes besides its bytes.
const overhead = 200

// Cache keeps values by key, up to so many bytes together: what was not used for longest goes first. It is safe for
// concurrent use; the values are shared.
type Cache[K comparable, V any] struct {
	max int64

	mu    sync.Mutex
	used  int64
	items map[K]*item[K, V]
	// recent is before the item that was used last, and after the one that was not used for longest.
	recent item[K, V]
}

type item[K comparable, V any] struct {
	key          K
	value        V
	bytes        int64
	before, next *item[K, V]
}

// New returns a Cache of up to so many bytes. One of none keeps nothing.
func New[K comparable, V any](bytes int64) *Cache[K, V] {
	c := &Cache[K, V]{max: bytes}
	c.Clear()
	return c
}

// Get returns what is kept under the key.
func (c *Cache[K, V]) Get(key K) (V, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known, value, found := c.find(key)
	if found {
		known.leave()
		known.enter(&c.recent)
	}
	return value, found
}

// Take returns what is kept under the key, and forgets it.
func (c *Cache[K, V]) Take(key K) (V, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known, value, found := c.find(key)
	if found {
		c.drop(known)
	}
	return value, found
}

// Put keeps the value, of so many bytes, in the place of what is there. One that is larger than the Cache is not kept,
// and pushes nothing out but what was there.
func (c *Cache[K, V]) Put(key K, value V, bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if known, found := c.items[key]; found {
		c.drop(known)
	}
	if bytes += overhead; bytes > c.max {
		return
	}
	for c.used+bytes > c.max {
		c.drop(c.recent.before)
	}
	added := &item[K, V]{key: key, value: value, bytes: bytes}
	added.enter(&c.recent)
	c.items[key] = added
	c.used += bytes
}

// Clear forgets everything.
func (c *Cache[K, V]) Clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.items, c.used = map[K]*item[K, V]{}, 0
	c.recent.before, c.recent.next = &c.recent, &c.recent
}

// Bytes is what everything takes that is kept.
func (c *Cache[K, V]) Bytes() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.used
}

func (c *Cache[K, V]) find(key K) (known *item[K, V], value V, found bool) {
	if known, found = c.items[key]; found {
		value = known.value
	}
	return known, value, found
}

func (c *Cache[K, V]) drop(i *item[K, V]) {
	i.leave()
	delete(c.items, i.key)
	c.used -= i.bytes
}

func (i *item[K, V]) leave() { i.before.next, i.next.before = i.next, i.before }

// enter comes to stand after the other.
func (i *item[K, V]) enter(other *item[K, V]) {
	i.before, i.next = other, other.next
	i.before.next, i.next.before = i, i
}
