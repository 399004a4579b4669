package buildtest

import (
	"maps"
	"path"
	"slices"
	"strings"
	"testing/fstest"

	"pgregory.net/rapid"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Dir is the directory of a tree that is built.
const Dir = "app"

// Tree is the files of a source and how to build Dir of it.
type Tree struct {
	Files map[string]string
	Spec  fleet.BuildSpec
	// Flaw is what was made wrong on purpose; empty: nothing, though it may fail nevertheless.
	Flaw string
}

// Random generates trees.
func Random() *rapid.Generator[Tree] {
	return rapid.Custom(func(t *rapid.T) Tree {
		d := newDrawer(t)
		d.plan = d.draft()
		return d.tree(1 + d.upTo(5)/2)
	})
}

// Flaws are what trees are made wrong by.
func Flaws() []string { return flawNames }

// Flawed generates small trees with the flaw.
func Flawed(flaw string) *rapid.Generator[Tree] {
	return rapid.Custom(func(t *rapid.T) Tree {
		d := newDrawer(t)
		d.plan.flaw = flaw
		return d.tree(d.upTo(2))
	})
}

// Seeded is the tree of a number: the same each time.
func Seeded(seed int) Tree { return Random().Example(seed) }

// FS is the tree as a file system.
func (t Tree) FS() fstest.MapFS {
	fsys := fstest.MapFS{}
	for name, content := range t.Files {
		fsys[name] = &fstest.MapFile{Data: []byte(content), Mode: 0o644}
	}
	return fsys
}

// String lists the files as testdata has them.
func (t Tree) String() string {
	var text strings.Builder
	if spec := string(t.Spec.Encode()); spec != "{}" {
		text.WriteString("spec: " + spec + "\n")
	}
	for _, name := range slices.Sorted(maps.Keys(t.Files)) {
		text.WriteString("-- " + name + " --\n" + strings.TrimSuffix(t.Files[name], "\n") + "\n")
	}
	return text.String()
}

// GoString is String, for rapid to print.
func (t Tree) GoString() string { return "\n" + t.String() }

// tree makes a tree of so many levels from the bottom up: what a directory includes is there before its own files are.
func (d *drawer) tree(depth int) Tree {
	d.overlay(Dir, depth)
	tree := Tree{Files: d.files, Flaw: d.plan.flaw}
	if d.chance(25) {
		tree.Spec = d.spec()
	}
	return tree
}

// plan is what holds for the whole tree.
type plan struct {
	// scattered objects have namespaces of their own, and may have the same name in two; no file sets another.
	scattered bool
	// rare is a field of rareFields that one file has; empty: none.
	rare string
	// odd says that files are written in odd ways.
	odd  bool
	flaw string
}

func (d *drawer) draft() plan {
	p := plan{scattered: d.chance(20), odd: d.chance(35)}
	if d.chance(13) {
		p.rare = d.pick(rareFields...)
	}
	if d.chance(8) {
		p.flaw = d.pick(flawNames...)
	}
	return p
}

// join is a path within the tree.
func join(dir, name string) string { return path.Join(dir, name) }
