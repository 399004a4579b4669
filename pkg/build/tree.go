package build

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"strings"

	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"flotilla.dev/flotilla/pkg/fleet"
)

// FileSystem is what a build reads: paths are relative and slash-separated, "." the root. What is not there is
// fs.ErrNotExist; any other error ends the build and is its result. A file system of io/fs is one.
type FileSystem interface {
	ReadFile(name string) ([]byte, error)
	// ReadDir returns the entries sorted by name.
	ReadDir(name string) ([]fs.DirEntry, error)
	Stat(name string) (fs.FileInfo, error)
}

// root is where kustomize sees the tree. Kustomize wants absolute paths, and from a root of "/" a path could lead out
// by ".." and in again unseen.
const root = "/.flotilla-tree"

func absolute(name string) string { return path.Join(root, name) }

// relative is the path within the tree, if that is where it is.
func relative(name string) (string, bool) {
	name = path.Clean(name)
	if name == root {
		return ".", true
	}
	return strings.CutPrefix(name, root+"/")
}

var kustomizationFiles = konfig.RecognizedKustomizationFileNames()

// tree shows a FileSystem to kustomize, one build long. Every kustomization file is checked as it is read.
type tree struct {
	ctx  context.Context // kustomize's file system has no place for one, and a tree lives as long as its call
	fsys FileSystem
	// files are those read so far: at the top the kustomization file with the spec, which is overlaid.
	files    map[string][]byte
	overlaid string
	// topSize is what the file has without the spec; zero: there is none.
	topSize int64
	// counted is what of a file's size is in input.
	counted map[string]int64
	input   int64
	stats   map[string]stat
	// parsed are the kustomization files among them.
	parsed map[string]parsed
	// failure is the first error that is not kustomize's to judge: it would try the next thing, or blame another.
	failure error
	// reader, if there is one, may know the files that a scan comes to.
	reader reader
	// reads counts how often a file was asked for, and scanned how often of that for a scan alone.
	reads, scanned map[string]int
	// schemaChanged is set when a kustomization file names a schema: kustomize would keep it.
	schemaChanged bool
}

var _ filesys.FileSystem = (*tree)(nil)

func newTree(ctx context.Context, fsys FileSystem) *tree {
	return &tree{ctx: ctx, fsys: fsys, files: map[string][]byte{}, counted: map[string]int64{}, reads: map[string]int{}, scanned: map[string]int{}, stats: map[string]stat{}, parsed: map[string]parsed{}}
}

func (t *tree) fail(err error) error {
	if t.failure == nil {
		t.failure = err
	}
	return err
}

// check passes an error of the file system on, and keeps it unless it says that there is nothing.
func (t *tree) check(err error) error {
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return t.fail(err)
}

// confirm says whether the directory can be built.
func (t *tree) confirm(dir string) error {
	info, err := t.fsys.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist) && dir != ".":
		return fmt.Errorf("%w: path not found: %s", fleet.ErrNotFound, dir)
	case err != nil && dir != ".": // a source without files has a root nevertheless
		return err
	case err == nil && !info.IsDir():
		return fmt.Errorf("%w: path is a file, not a directory: %s", fleet.ErrInvalid, dir)
	}
	return nil
}

func (t *tree) stat(name string) (fs.FileInfo, error) {
	if err := t.ctx.Err(); err != nil {
		return nil, t.fail(fmt.Errorf("build: %w", err))
	}
	inside, ok := relative(name)
	if !ok {
		return nil, notExist("stat", name)
	}
	known, found := t.stats[inside]
	if !found { // kustomize asks for everything a few times, and asking may be dear
		known.info, known.err = t.fsys.Stat(inside)
		t.stats[inside] = known
	}
	return known.info, t.check(known.err)
}

type stat struct {
	info fs.FileInfo
	err  error
}

// ReadFile implements filesys.FileSystem.
func (t *tree) ReadFile(name string) ([]byte, error) {
	if err := t.ctx.Err(); err != nil {
		return nil, t.fail(fmt.Errorf("build: %w", err))
	}
	inside, ok := relative(name)
	if !ok {
		return nil, notExist("open", name)
	}
	t.reads[inside]++
	if data, known := t.files[inside]; known {
		return data, nil
	}
	data, err := t.fsys.ReadFile(inside)
	if err != nil {
		if t.IsDir(name) { // kustomize tries every resource as a file first
			return nil, &fs.PathError{Op: "read", Path: inside, Err: errors.New("is a directory")}
		}
		return nil, t.check(err)
	}
	if err := t.count(inside, int64(len(data))); err != nil {
		return nil, err
	}
	if isKustomization(inside) {
		if err := t.inspect(inside, data); err != nil {
			return nil, t.fail(fmt.Errorf("%w: %s: %w", fleet.ErrInvalid, inside, err))
		}
	}
	t.files[inside] = data
	return data, nil
}

// count adds a file to the input of the build, once. What it is said to have may be less than is read of it.
func (t *tree) count(name string, size int64) error {
	more := size - t.counted[name]
	if more <= 0 {
		return nil
	}
	t.counted[name] = size
	if t.input += more; t.input > MaxInput {
		return t.fail(fmt.Errorf("%w: with %s the build reads more than %d bytes", fleet.ErrInvalid, name, MaxInput))
	}
	return nil
}

// Digest returns the digest of what ReadFile returns, if that is known without reading it. Who asks for it has no need to
// read the file, which is input to the build nevertheless.
func (t *tree) Digest(name string) (fleet.Digest, bool) {
	inside, ok := relative(name)
	if !ok {
		return fleet.Digest{}, false
	}
	if inside == t.overlaid {
		return fleet.DigestOf(t.files[inside]), true
	}
	digest, known := digestOf(t.fsys, inside)
	if !known {
		return fleet.Digest{}, false
	}
	if info, err := t.stat(name); err != nil || t.count(inside, info.Size()) != nil {
		return fleet.Digest{}, false
	}
	return digest, true
}

// IsDir implements filesys.FileSystem.
func (t *tree) IsDir(name string) bool {
	info, err := t.stat(name)
	return err == nil && info.IsDir()
}

// Exists implements filesys.FileSystem.
func (t *tree) Exists(name string) bool {
	if inside, ok := relative(name); ok && t.files[inside] != nil {
		return true
	}
	_, err := t.stat(name)
	return err == nil
}

// CleanedAbs implements filesys.FileSystem.
func (t *tree) CleanedAbs(name string) (filesys.ConfirmedDir, string, error) {
	name = path.Clean(name)
	info, err := t.stat(name)
	switch {
	case err != nil:
		return "", "", fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	case info.IsDir():
		return filesys.ConfirmedDir(name), "", nil
	}
	return filesys.ConfirmedDir(path.Dir(name)), path.Base(name), nil
}

// ReadDir implements filesys.FileSystem.
func (t *tree) ReadDir(name string) ([]string, error) {
	inside, ok := relative(name)
	if !ok {
		return nil, notExist("readdir", name)
	}
	entries, err := t.fsys.ReadDir(inside)
	names := make([]string, len(entries))
	for i, entry := range entries {
		names[i] = entry.Name()
	}
	return names, t.check(err)
}

// What follows would write or is never called by a build.
var errReadOnly = errors.New("a source's files can only be read")

func (t *tree) Create(string) (filesys.File, error)  { return nil, t.fail(errReadOnly) }
func (t *tree) Mkdir(string) error                   { return t.fail(errReadOnly) }
func (t *tree) MkdirAll(string) error                { return t.fail(errReadOnly) }
func (t *tree) RemoveAll(string) error               { return t.fail(errReadOnly) }
func (t *tree) Open(string) (filesys.File, error)    { return nil, t.fail(errReadOnly) }
func (t *tree) Glob(string) ([]string, error)        { return nil, t.fail(errReadOnly) }
func (t *tree) WriteFile(string, []byte) error       { return t.fail(errReadOnly) }
func (t *tree) Walk(string, filepath.WalkFunc) error { return t.fail(errReadOnly) }

func notExist(op, name string) error { return &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist} }
