package artifact

import (
	"cmp"
	"slices"
	"strings"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Entry is what a directory has by a name.
type Entry struct {
	Name  string
	IsDir bool
	// Digest, Size and Mode are a file's.
	Digest fleet.Digest
	Size   int64
	Mode   FileMode
}

// Entries returns what a directory has, "." being the whole tree, sorted by name. There is nothing in what is no directory,
// and in a tree without files. It takes no longer for what is in sub-directories.
func (t *Tree) Entries(dir string) []Entry {
	inside, prefix := t.Files, 0
	if dir != "." {
		inside, prefix = t.below(dir), len(dir)+1
	}
	var entries []Entry
	for len(inside) > 0 {
		file := inside[0]
		name, _, isDir := strings.Cut(file.Path[prefix:], "/")
		if !isDir {
			entries = append(entries, Entry{Name: name, Digest: file.Digest, Size: file.Size, Mode: file.Mode})
			inside = inside[1:]
			continue
		}
		entries = append(entries, Entry{Name: name, IsDir: true})
		end, _ := slices.BinarySearchFunc(inside, after(file.Path[:prefix+len(name)]), comparePath)
		inside = inside[end:]
	}
	slices.SortFunc(entries, func(a, b Entry) int { return cmp.Compare(a.Name, b.Name) })
	return entries
}
