package artifact

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"io"
	"slices"
	"strings"

	"flotilla.dev/flotilla/pkg/fleet"
)

// MaxEntries is the number of files that a Tree may have.
const MaxEntries = 200_000

// Tree is the fetched, verified, ignore-filtered files of a Revision, sorted by path. It is not changed once made.
type Tree struct {
	Files []File
	// Warnings say what the fetch left out (symbolic links, for one). They are no part of the digest or the encoding.
	Warnings []string
}

// File is a file of a Tree.
type File struct {
	// Path is relative and slash-separated, as CheckPath wants it.
	Path   string
	Mode   FileMode
	Digest fleet.Digest
	Size   int64
}

// FileMode is what Git knows of a file's mode.
type FileMode uint8

// The file modes.
const (
	Regular FileMode = iota
	Executable
)

// NewTree sorts the files and returns the Tree of them. It refuses, with an InvalidError, what no tree of
// files can be: a path that CheckPath refuses, one that is there twice or is a directory as well, too many.
func NewTree(files []File) (*Tree, error) {
	if len(files) > MaxEntries {
		return nil, invalid("", "%d files are more than the %d that a source may have", len(files), MaxEntries)
	}
	slices.SortFunc(files, func(a, b File) int { return cmp.Compare(a.Path, b.Path) })
	directories := map[string]bool{}
	for i, file := range files {
		if err := CheckPath(file.Path); err != nil {
			return nil, err
		}
		if i > 0 && files[i-1].Path == file.Path {
			return nil, invalid(file.Path, "it is there twice")
		}
		if file.Mode > Executable || file.Size < 0 {
			return nil, invalid(file.Path, "it has mode %d and size %d", file.Mode, file.Size)
		}
		for dir := parent(file.Path); dir != "." && !directories[dir]; dir = parent(dir) {
			directories[dir] = true
		}
	}
	for _, file := range files {
		if directories[file.Path] {
			return nil, invalid(file.Path, "it is a file and a directory")
		}
	}
	return &Tree{Files: files}, nil
}

// Digest names the tree. It is over the names, modes and digests of its directories' entries, directory by directory,
// so that it depends on nothing else and a sub-tree has the same digest wherever it is.
func (t *Tree) Digest() fleet.Digest { return hashDirectory(t.Files, 0) }

// Size is the sum of the sizes of the files.
func (t *Tree) Size() int64 {
	var size int64
	for _, file := range t.Files {
		size += file.Size
	}
	return size
}

// Lookup returns the file at the path.
func (t *Tree) Lookup(path string) (File, bool) {
	i, found := slices.BinarySearchFunc(t.Files, path, comparePath)
	if !found {
		return File{}, false
	}
	return t.Files[i], true
}

// Sub returns the tree below a directory, "." being the whole one. There is none for a path that is no directory.
func (t *Tree) Sub(dir string) (*Tree, bool) {
	if dir == "." {
		return t, true
	}
	inside := t.below(dir)
	if len(inside) == 0 {
		return nil, false
	}
	files := make([]File, len(inside))
	for i, file := range inside {
		files[i] = file
		files[i].Path = file.Path[len(dir)+1:]
	}
	return &Tree{Files: files}, true
}

// below returns the files in the directory and its sub-directories.
func (t *Tree) below(dir string) []File {
	from, _ := slices.BinarySearchFunc(t.Files, dir+"/", comparePath)
	to, _ := slices.BinarySearchFunc(t.Files, after(dir), comparePath)
	return t.Files[from:to]
}

func comparePath(f File, path string) int { return cmp.Compare(f.Path, path) }

// after is the first string that follows all paths in the directory.
func after(dir string) string { return dir + "0" } // what follows a slash

// hashDirectory is the digest of the directory that the files are in, whose own path has `prefix` bytes.
func hashDirectory(files []File, prefix int) fleet.Digest {
	sum := sha256.New()
	for len(files) > 0 {
		name, _, isDir := strings.Cut(files[0].Path[prefix:], "/")
		if !isDir {
			hashEntry(sum, 'f'+byte(files[0].Mode), name, files[0].Digest)
			files = files[1:]
			continue
		}
		inside := prefix + len(name) + 1
		end := 1
		for end < len(files) && len(files[end].Path) > inside && files[end].Path[:inside] == files[0].Path[:inside] {
			end++
		}
		hashEntry(sum, 'd', name, hashDirectory(files[:end], inside))
		files = files[end:]
	}
	return fleet.Digest(sum.Sum(nil))
}

func hashEntry(sum hash.Hash, kind byte, name string, digest fleet.Digest) {
	_, _ = sum.Write([]byte{kind}) // a hash never fails
	_, _ = sum.Write(binary.AppendUvarint(nil, uint64(len(name))))
	_, _ = io.WriteString(sum, name)
	_, _ = sum.Write(digest[:])
}

func parent(path string) string {
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		return path[:i]
	}
	return "."
}
