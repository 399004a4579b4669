package render

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/fleet"
)

// files is a job's tree as a build in the worker sees it. The pool tells what a directory has, with the digests and
// sizes of its files, when the first of it is looked at; from then on it is asked for the contents only that the worker does not hold.
// What the build looks at is told to the pool, as it decides which later trees have to be built.
type files struct {
	*child
	// listings by directory.
	listings map[string]listing
	looked   map[string]bool
	untold   []byte // of looked
}

// listing is what a directory has, or why there is none. One that has too many entries to be told at once is many.
type listing struct {
	entries map[string]entry
	many    bool
	err     error
}

type entry struct {
	isDir bool
	// Of a file:
	digest fleet.Digest
	size   int64 // what the tree says; a build reads so much of its bound, though the worker may not have to read it
}

func newFiles(c *child) *files {
	return &files{child: c, listings: map[string]listing{}, looked: map[string]bool{}}
}

// ReadFile implements build.FileSystem.
func (f *files) ReadFile(name string) ([]byte, error) {
	data, err := f.read(name)
	if err != nil {
		return nil, &fs.PathError{Op: "read", Path: name, Err: err}
	}
	return data, nil
}

func (f *files) read(name string) ([]byte, error) {
	e, err := f.look(name)
	switch {
	case err != nil:
		return nil, err
	case e.isDir:
		return nil, errors.New("it is a directory")
	}
	if data, held := f.contents.Get(e.digest); held {
		return data, nil
	}
	data, err := f.ask(msgRead, name)
	if err == nil && !e.digest.IsZero() {
		f.contents.Put(e.digest, data, int64(len(data)))
	}
	return data, err
}

// Digest implements build.Digester.
func (f *files) Digest(name string) (fleet.Digest, bool) {
	e, err := f.look(name)
	return e.digest, err == nil && !e.isDir
}

// Stat implements build.FileSystem.
func (f *files) Stat(name string) (fs.FileInfo, error) {
	e, err := f.look(name)
	if err != nil {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	return info{path.Base(name), e}, nil
}

// ReadDir implements build.FileSystem.
func (f *files) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := f.readDir(name)
	if err != nil {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: err}
	}
	out := make([]fs.DirEntry, 0, len(entries))
	for child, e := range entries {
		out = append(out, fs.FileInfoToDirEntry(info{child, e}))
	}
	slices.SortFunc(out, func(a, b fs.DirEntry) int { return cmp.Compare(a.Name(), b.Name()) })
	return out, nil
}

func (f *files) readDir(name string) (map[string]entry, error) {
	if !isPath(name) {
		return nil, fs.ErrNotExist
	}
	if err := f.note(name + "/"); err != nil {
		return nil, err
	}
	l := f.list(name)
	if l.err != nil {
		if e, err := f.look(name); err == nil && !e.isDir {
			return nil, errors.New("it is a file")
		}
	}
	if !l.many {
		return l.entries, l.err
	}
	data, err := f.ask(msgList, name)
	if err != nil {
		return nil, err
	}
	return decodeEntries(data, false)
}

// look notes that the build looks at the path, and says what is there.
func (f *files) look(name string) (entry, error) {
	if !f.looked[name] && !isPath(name) {
		return entry{}, fs.ErrNotExist
	}
	if err := f.note(name); err != nil || name == "." {
		return entry{isDir: true}, err
	}
	dir, base := ".", name
	if slash := strings.LastIndexByte(name, '/'); slash >= 0 {
		dir, base = name[:slash], name[slash+1:]
	}
	l := f.list(dir)
	switch e, is := l.entries[base]; {
	case is:
		return e, nil
	case l.many:
		return f.stat(name)
	case l.err != nil:
		return entry{}, l.err
	}
	return entry{}, fs.ErrNotExist
}

func isPath(name string) bool { return name == "." || artifact.CheckPath(name) == nil }

// stat is for what is in a directory with very many entries.
func (f *files) stat(name string) (entry, error) {
	data, err := f.ask(msgStat, name)
	if err != nil {
		return entry{}, err
	}
	return decodeEntry(data)
}

// list returns what a directory has. What is no directory is not there.
func (f *files) list(dir string) listing {
	if l, known := f.listings[dir]; known {
		return l
	}
	var l listing
	data, err := f.ask(msgPeek, dir)
	switch {
	case errors.Is(err, errMany):
		l.many = true
	case err != nil:
		l.err = err
	default:
		l.entries, l.err = decodeEntries(data, true)
	}
	f.listings[dir] = l
	return l
}

// note has the pool know, in time, of an input.
func (f *files) note(input string) error {
	if f.looked[input] {
		return nil
	}
	f.looked[input] = true
	f.untold = appendText(f.untold, input)
	if len(f.untold) < maxLooked/2 {
		return nil
	}
	return f.tell()
}

// tell tells the pool what was looked at since it was last told.
func (f *files) tell() error {
	if len(f.untold) == 0 {
		return nil
	}
	err := send(f.out, msgLooked, f.untold)
	f.untold = f.untold[:0]
	return err
}

var errMany = errors.New("too many entries to be told at once")

// ask sends a request for a path and returns the answer.
func (f *files) ask(kind byte, name string) ([]byte, error) {
	if err := send(f.out, kind, []byte(name)); err != nil {
		return nil, err
	}
	got, payload, err := receive(f.in, maxToWorker)
	if err != nil || got != msgAnswer || len(payload) == 0 {
		return nil, fmt.Errorf("answer %q: %w", got, errors.Join(errMalformed, err))
	}
	switch payload[0] {
	case answerFound:
		return payload[1:], nil
	case answerAbsent:
		return nil, fs.ErrNotExist
	case answerMany:
		return nil, errMany
	}
	return nil, errors.New("the file could not be had")
}

type info struct {
	name string
	entry
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.size }
func (i info) ModTime() time.Time { return time.Time{} }
func (i info) IsDir() bool        { return i.isDir }
func (i info) Sys() any           { return nil }

func (i info) Mode() fs.FileMode {
	if i.isDir {
		return fs.ModeDir | 0o755
	}
	return 0o644
}
