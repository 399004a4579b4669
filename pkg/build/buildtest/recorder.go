package buildtest

import (
	"io/fs"
	"maps"
	"slices"
	"sync"

	"flotilla.dev/flotilla/pkg/fleet"
)

// FileSystem is what a build reads.
type FileSystem interface {
	ReadFile(name string) ([]byte, error)
	ReadDir(name string) ([]fs.DirEntry, error)
	Stat(name string) (fs.FileInfo, error)
}

// Recorder is a FileSystem that remembers what was looked at in another: what a Plan has to list.
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

// Digest returns the digest of a file's content where the other knows it.
func (r *Recorder) Digest(name string) (fleet.Digest, bool) {
	r.note(name)
	digester, knows := r.fsys.(interface {
		Digest(name string) (fleet.Digest, bool)
	})
	if !knows {
		return fleet.Digest{}, false
	}
	return digester.Digest(name)
}
