package artifact

import (
	"io/fs"
	"path"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
)

// FS is the read-only file system of a Tree. Paths are as io/fs has them: relative, slash-separated, "." the root.
// Errors are *fs.PathError; what is not there is fs.ErrNotExist.
type FS struct {
	tree *Tree
	blob func(fleet.Digest) ([]byte, error)
}

// NewFS returns the file system of the tree; blob gets the content of a file when it is read.
func NewFS(tree *Tree, blob func(fleet.Digest) ([]byte, error)) *FS {
	return &FS{tree: tree, blob: blob}
}

// ReadFile returns the content of a file.
func (f *FS) ReadFile(name string) ([]byte, error) {
	file, found := f.tree.Lookup(name)
	if !found {
		return nil, &fs.PathError{Op: "read", Path: name, Err: f.absence(name)}
	}
	data, err := f.blob(file.Digest)
	if err != nil {
		return nil, &fs.PathError{Op: "read", Path: name, Err: err}
	}
	return data, nil
}

// Digest returns the digest of a file's content, without getting it.
func (f *FS) Digest(name string) (fleet.Digest, bool) {
	file, found := f.tree.Lookup(name)
	return file.Digest, found
}

// ReadDir returns the entries of a directory, sorted by name.
func (f *FS) ReadDir(name string) ([]fs.DirEntry, error) {
	inside := f.tree.Entries(name)
	if len(inside) == 0 && name != "." {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: f.absence(name)}
	}
	entries := make([]fs.DirEntry, len(inside))
	for i, e := range inside {
		entries[i] = fs.FileInfoToDirEntry(info{name: e.Name, dir: e.IsDir, size: e.Size, mode: e.Mode})
	}
	return entries, nil
}

// Stat returns what is at the path.
func (f *FS) Stat(name string) (fs.FileInfo, error) {
	if file, found := f.tree.Lookup(name); found {
		return info{name: path.Base(name), size: file.Size, mode: file.Mode}, nil
	}
	if name != "." && len(f.tree.below(name)) == 0 {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrNotExist}
	}
	return info{name: path.Base(name), dir: true}, nil
}

// absence says why there is nothing at the path of the kind that was asked for.
func (f *FS) absence(name string) error {
	if _, err := f.Stat(name); err == nil {
		return fs.ErrInvalid
	}
	return fs.ErrNotExist
}

// info describes a file or a directory of a Tree.
type info struct {
	name string
	dir  bool
	size int64
	mode FileMode
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.size }
func (i info) ModTime() time.Time { return time.Time{} }
func (i info) IsDir() bool        { return i.dir }
func (i info) Sys() any           { return nil }

func (i info) Mode() fs.FileMode {
	switch {
	case i.dir:
		return fs.ModeDir | 0o755
	case i.mode == Executable:
		return 0o755
	}
	return 0o644
}
