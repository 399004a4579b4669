package engine

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"

	"sigs.k8s.io/kustomize/api/resource"

	bounded "flotilla.dev/flotilla/pkg/build/cache"
	"flotilla.dev/flotilla/pkg/fleet"
)

// cache is what builds can use again. Nearly all kinds of things share it: a key says what it is the key of.
type cache struct {
	*bounded.Cache[fleet.Digest, any]
	// trees are those of files. They take ten times what is known of their objects, and save less: in a place of their
	// own they push nothing else out.
	trees *bounded.Cache[fleet.Digest, []*resource.Resource]
}

func newCache(bytes int64) *cache {
	trees := bytes / 4
	return &cache{bounded.New[fleet.Digest, any](bytes - trees), bounded.New[fleet.Digest, []*resource.Resource](trees)}
}

// cached returns what is kept under the key.
func cached[T any](c *cache, key fleet.Digest) (T, bool) {
	value, _ := c.Get(key)
	known, is := value.(T)
	return known, is
}

// keep keeps the value of about so many bytes in the place of what is there.
func (c *cache) keep(key fleet.Digest, value any, size int64) { c.Put(key, value, size) }

// keyer makes keys: no two lists of parts have the same.
type keyer struct{ hash.Hash }

func newKey(of string) keyer {
	k := keyer{sha256.New()}
	return k.text(Version).text(of)
}

func (k keyer) text(parts ...string) keyer {
	for _, part := range parts {
		_, _ = k.Write(binary.AppendUvarint(nil, uint64(len(part)))) // a hash never fails
		_, _ = k.Write([]byte(part))
	}
	return k
}

func (k keyer) digest(parts ...fleet.Digest) keyer {
	for _, part := range parts {
		_, _ = k.Write(part[:])
	}
	return k
}

func (k keyer) sum() fleet.Digest {
	var d fleet.Digest
	k.Sum(d[:0])
	return d
}

// join is the key of what the second does to the first.
func join(first, second fleet.Digest) fleet.Digest {
	var both [2 * sha256.Size]byte
	copy(both[:], first[:])
	copy(both[sha256.Size:], second[:])
	return sha256.Sum256(both[:])
}
