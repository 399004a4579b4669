package git

import (
	"fmt"
	"slices"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/fleet"
)

// dir is a directory of a Tree as a walk found it. Git names a directory by what it holds, so it is the same in the next
// commit unless something in it has changed: a walk goes down to what did.
type dir struct {
	hash    plumbing.Hash
	path    string
	module  string // the path of the submodule that it belongs to; empty: none
	entries []entry
	// whole: all that it has is in entries. A sparse checkout leaves some out, and is walked again.
	whole bool
	// ignores: there is an ignore file in it or below.
	ignores bool
	// seen is how many entries it and those below have.
	seen int
	// rules are those that say which of the entries are kept; another one's say nothing.
	rules *rules
}

// entry is what a directory has by a name.
type entry struct {
	name string
	hash plumbing.Hash
	mode filemode.FileMode
	sub  *dir // of a directory, and of a submodule that is entered
	// kept: it is in the Tree, by the directory's rules.
	kept bool
	// known: digest and size are those of its content in the store.
	known  bool
	digest fleet.Digest
	size   int64
}

// entry is the one of that name; none: a zero one.
func (d *dir) entry(name string) entry {
	if d == nil {
		return entry{}
	}
	i := slices.IndexFunc(d.entries, func(e entry) bool { return e.name == name })
	if i < 0 {
		return entry{}
	}
	return d.entries[i]
}

// finder finds entries by name, mostly in the order that the directory has them.
type finder struct {
	d      *dir
	next   int
	byName map[string]int
}

func (f *finder) entry(name string) entry {
	if f.d == nil {
		return entry{}
	}
	if f.next < len(f.d.entries) && f.d.entries[f.next].name == name {
		f.next++
		return f.d.entries[f.next-1]
	}
	if f.byName == nil {
		f.byName = make(map[string]int, len(f.d.entries))
		for i, e := range f.d.entries {
			f.byName[e.name] = i
		}
	}
	i, found := f.byName[name]
	if !found {
		return entry{}
	}
	f.next = i + 1
	return f.d.entries[i]
}

// roots remembers the directories of the Trees that were made last, up to a number of entries: it is memory of the hub's.
type roots struct {
	held  []heldRoot // the one used last at the end
	limit int
}

type heldRoot struct {
	mirror, id, shape string
	root              *dir
}

// shapeOf is what of a spec decides what a walk goes into: roots of another shape are of no use.
func shapeOf(u source.Upstream) string {
	return fmt.Sprintf("%t %q", specOf(u).RecurseSubmodules, specOf(u).SparseCheckout)
}

// get is the root of an upstream, or of another one of the same mirror: most of it will be the same.
func (r *roots) get(mirror, id, shape string) *dir {
	var found *dir
	for _, h := range r.held {
		if h.mirror != mirror || h.shape != shape {
			continue
		}
		if found = h.root; h.id == id {
			break
		}
	}
	return found
}

func (r *roots) put(made heldRoot) {
	r.held = slices.DeleteFunc(r.held, func(h heldRoot) bool { return h.mirror == made.mirror && h.id == made.id })
	r.held = append(r.held, made)
	total := 0
	for i, h := range slices.Backward(r.held) {
		if total += h.root.seen; total > r.limit && i < len(r.held)-1 {
			r.held = slices.Delete(r.held, 0, i+1)
			return
		}
	}
}

func (r *roots) forget(mirror string) {
	r.held = slices.DeleteFunc(r.held, func(h heldRoot) bool { return h.mirror == mirror })
}

// maxHeld is how many entries are remembered over all upstreams: some 50 MiB.
const maxHeld = 400_000
