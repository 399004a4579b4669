package build

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"

	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/build/engine"
	"flotilla.dev/flotilla/pkg/fleet"
)

// Recorder is a FileSystem that remembers what was looked at in another.
type Recorder struct {
	fsys   FileSystem
	mu     sync.Mutex
	inputs map[string]bool
}

// NewRecorder returns the recorder of the file system.
func NewRecorder(fsys FileSystem) *Recorder {
	return &Recorder{fsys: fsys, inputs: map[string]bool{}}
}

// Inputs returns what was looked at, sorted: paths that were read or asked for, whether there or not, and directories
// that were listed, with a slash at the end.
func (r *Recorder) Inputs() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(maps.Keys(r.inputs))
}

// Len is the number of inputs so far.
func (r *Recorder) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.inputs)
}

func (r *Recorder) note(input string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.inputs[input] = true
}

// ReadFile implements FileSystem.
func (r *Recorder) ReadFile(name string) ([]byte, error) {
	r.note(name)
	return r.fsys.ReadFile(name)
}

// ReadDir implements FileSystem.
func (r *Recorder) ReadDir(name string) ([]fs.DirEntry, error) {
	r.note(name + "/")
	return r.fsys.ReadDir(name)
}

// Stat implements FileSystem.
func (r *Recorder) Stat(name string) (fs.FileInfo, error) {
	r.note(name)
	return r.fsys.Stat(name)
}

// Digest implements Digester, where the other does.
func (r *Recorder) Digest(name string) (fleet.Digest, bool) {
	r.note(name)
	return digestOf(r.fsys, name)
}

// Digester is a FileSystem that knows the digest of a file's content without reading it. It says false of what is no
// file, and may say so of any.
type Digester = engine.Digester

func digestOf(fsys FileSystem, name string) (fleet.Digest, bool) {
	if digester, is := fsys.(Digester); is {
		return digester.Digest(name)
	}
	return fleet.Digest{}, false
}

// Key is the digest of what each input that one build had is in this tree. As builds are pure, two trees with the same key
// have the same objects by the same Version, directory and spec; a build of the second need not be made.
func Key(tree *artifact.Tree, inputs []string) fleet.Digest {
	fsys := artifact.NewFS(tree, nil)
	sum := sha256.New()
	var scratch []byte
	part := func(text string) {
		scratch = append(binary.AppendUvarint(scratch[:0], uint64(len(text))), text...)
		_, _ = sum.Write(scratch) // a hash never fails
	}
	for _, input := range inputs {
		part(input)
		name, listed := strings.CutSuffix(input, "/")
		if digest, isFile := fsys.Digest(name); isFile {
			part(digest.String())
			continue
		}
		switch _, err := fsys.Stat(name); {
		case errors.Is(err, fs.ErrNotExist):
			part("none")
		case listed:
			part("listing")
			entries, _ := fsys.ReadDir(name) // it is a directory
			for _, entry := range entries {
				part(entry.Type().String() + entry.Name())
			}
		default:
			part("directory")
		}
	}
	return fleet.Digest(sum.Sum(nil))
}
