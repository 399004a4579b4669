package inventory

import (
	"maps"
	"slices"
	"sync"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Entry is an object that an App owns, or is about to.
type Entry struct {
	Ref fleet.ObjectRef
	// UID of the object; empty: intended, the object may not exist, or may not be ours.
	UID string
	// Applied names the content that was last applied; zero: not known, as while it is being written.
	Applied fleet.Digest
	// Kept objects are never pruned: they, or their Manifest entry, say so.
	Kept bool
	// Protected objects are not pruned without an approval.
	Protected bool
	// Fresh objects came in after the last pass that had nothing left to prune. The guard measures losses against the
	// others, and a deletion may be paired with one of these.
	Fresh bool
	// Going objects were let go: the guard, or a person, has agreed to their deletion, which is under way or still to be
	// sent. Saved before the first deletion, the mark outlives a crash: they are not put back, and nobody is asked again.
	Going bool
	// Resolved says that Applied names content that was made in the cluster, not a blob.
	Resolved bool
	// Secret says that a value of a Secret, or something decrypted, may be in the object as it is in the cluster. It
	// outlives the content that had it, for as long as what was applied then may not have been taken away.
	Secret bool
}

// Inventory is what one App owns in the cluster. It is safe for concurrent use; Store saves it.
type Inventory struct {
	app fleet.Key

	mu     sync.Mutex
	items  map[fleet.ObjectRef]*item // by reference without version
	shards []*shard
	broken error
	origin string
	saving sync.Mutex // held while shards are written
}

type item struct {
	Entry
	shard int
}

type shard struct {
	// version is the ConfigMap's resourceVersion; empty: there is none.
	version string
	// content is the digest of what the ConfigMap holds.
	content fleet.Digest
	// size is an upper bound of the encoding's.
	size  int
	dirty bool
}

// New returns an empty inventory.
func New(app fleet.Key) *Inventory {
	return &Inventory{app: app, items: map[fleet.ObjectRef]*item{}}
}

// App is whose inventory it is.
func (inv *Inventory) App() fleet.Key { return inv.app }

// Broken says why the inventory in the cluster could not be read. It is then not to be written, nor anything deleted by
// it.
func (inv *Inventory) Broken() error { return inv.broken }

// Origin names the inventory of somebody else's that was taken in last; empty: none was.
func (inv *Inventory) Origin() string {
	inv.mu.Lock()
	defer inv.mu.Unlock()
	return inv.origin
}

// SetOrigin notes what was taken in. It is kept for as long as there are entries, from the next Save on.
func (inv *Inventory) SetOrigin(origin string) {
	inv.mu.Lock()
	defer inv.mu.Unlock()
	if inv.origin == origin {
		return
	}
	inv.origin = origin
	for _, s := range inv.shards {
		s.dirty = s.dirty || s.version != "" // an empty one has no ConfigMap
	}
}

// Len is the number of entries.
func (inv *Inventory) Len() int {
	inv.mu.Lock()
	defer inv.mu.Unlock()
	return len(inv.items)
}

// Get returns the entry of an object, whatever ref's version.
func (inv *Inventory) Get(ref fleet.ObjectRef) (Entry, bool) {
	inv.mu.Lock()
	defer inv.mu.Unlock()
	if it := inv.items[ref.ID()]; it != nil {
		return it.Entry, true
	}
	return Entry{}, false
}

// Has reports whether the object has an entry, whatever ref's version.
func (inv *Inventory) Has(ref fleet.ObjectRef) bool {
	_, has := inv.Get(ref)
	return has
}

// Refs returns the references of all entries, without version, in any order.
func (inv *Inventory) Refs() []fleet.ObjectRef {
	inv.mu.Lock()
	defer inv.mu.Unlock()
	return slices.AppendSeq(make([]fleet.ObjectRef, 0, len(inv.items)), maps.Keys(inv.items))
}

// Entries returns all entries, ordered by reference.
func (inv *Inventory) Entries() []Entry {
	inv.mu.Lock()
	defer inv.mu.Unlock()
	entries := make([]Entry, 0, len(inv.items))
	for it := range maps.Values(inv.items) {
		entries = append(entries, it.Entry)
	}
	slices.SortFunc(entries, func(a, b Entry) int { return a.Ref.Compare(b.Ref) })
	return entries
}

// Put adds or replaces an entry. It is in the cluster after the next Save.
func (inv *Inventory) Put(entry Entry) {
	inv.mu.Lock()
	defer inv.mu.Unlock()
	inv.put(entry)
}

func (inv *Inventory) put(entry Entry) {
	id := entry.Ref.ID()
	it := inv.items[id]
	if it == nil {
		it = &item{Entry: entry, shard: inv.room(cost(entry))}
		inv.items[id] = it
		inv.shards[it.shard].size += cost(entry)
		inv.shards[it.shard].dirty = true
		return
	}
	if it.Entry == entry {
		return
	}
	s := inv.shards[it.shard]
	s.size += cost(entry) - cost(it.Entry)
	s.dirty = true
	it.Entry = entry
}

// Edit changes the entry of an object, if there is one, leaving what others change of it meanwhile. It is in the cluster
// after the next Save.
func (inv *Inventory) Edit(ref fleet.ObjectRef, change func(*Entry)) {
	inv.mu.Lock()
	defer inv.mu.Unlock()
	if it := inv.items[ref.ID()]; it != nil {
		entry := it.Entry
		change(&entry)
		inv.put(entry)
	}
}

// Remove drops an entry. It is gone from the cluster after the next Save.
func (inv *Inventory) Remove(ref fleet.ObjectRef) {
	inv.mu.Lock()
	defer inv.mu.Unlock()
	it := inv.items[ref.ID()]
	if it == nil {
		return
	}
	delete(inv.items, ref.ID())
	inv.shards[it.shard].size -= cost(it.Entry)
	inv.shards[it.shard].dirty = true
}

// room returns a shard that has room for n bytes more. An entry stays in its shard, so that a change of one object
// changes one shard.
func (inv *Inventory) room(n int) int {
	for i, s := range inv.shards {
		if s.size+n <= maxShard {
			return i
		}
	}
	inv.shards = append(inv.shards, &shard{})
	return len(inv.shards) - 1
}
