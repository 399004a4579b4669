package engine

import (
	"net/url"
	"path/filepath"

	"sigs.k8s.io/kustomize/api/ifc"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"flotilla.dev/flotilla/pkg/fleet"
)

// files reads the file system of one build.
type files struct {
	fsys     filesys.FileSystem
	digester Digester
}

func newFiles(fsys filesys.FileSystem) *files {
	digester, _ := fsys.(Digester)
	return &files{fsys, digester}
}

// blob is a file of which perhaps only the digest is known yet.
type blob struct {
	files  *files
	name   string
	digest fleet.Digest
	data   []byte
	read   bool
}

// open returns the file, and false if there is none of that name.
func (f *files) open(name string) (*blob, bool) {
	if f.digester != nil {
		if digest, known := f.digester.Digest(name); known {
			return &blob{files: f, name: name, digest: digest}, true
		}
	}
	data, err := f.fsys.ReadFile(name)
	if err != nil {
		return nil, false
	}
	return &blob{f, name, fleet.DigestOf(data), data, true}, true
}

func (b *blob) content() ([]byte, error) {
	if !b.read {
		data, err := b.files.fsys.ReadFile(b.name)
		if err != nil {
			return nil, doubtOf(err, "%s: it cannot be read", filepath.Base(b.name))
		}
		b.data, b.read = data, true
	}
	return b.data, nil
}

// loader is where the plugins of one kustomization file read.
type loader struct {
	files *files
	root  filesys.ConfirmedDir
	// loaded, if not nil, counts the bytes that they read.
	loaded *int64
}

var _ ifc.Loader = loader{}

// open returns the file at a path of the kustomization file.
func (l loader) open(path string) (*blob, error) {
	if isAddress(path) || filepath.IsAbs(path) {
		return nil, doubt("a path that leads out")
	}
	if b, found := l.files.open(l.root.Join(path)); found {
		return b, nil
	}
	return nil, doubt("a file that is not there")
}

// isAddress reports whether kustomize's loader would take the path for the address of a file.
func isAddress(path string) bool {
	u, err := url.Parse(path)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https")
}

// isRepository reports whether kustomize's loader would take the path for a repository. An origin is the one thing it
// shows that to.
func isRepository(path string) bool { return (*resource.Origin)(nil).Append(path).Repo != "" }

// Load implements ifc.Loader.
func (l loader) Load(path string) ([]byte, error) {
	b, err := l.open(path)
	if err != nil {
		return nil, err
	}
	data, err := b.content()
	if l.loaded != nil {
		*l.loaded += int64(len(data))
	}
	return data, err
}

// Root implements ifc.Loader.
func (l loader) Root() string { return l.root.String() }

// Repo implements ifc.Loader.
func (l loader) Repo() string { return "" }

// New implements ifc.Loader.
func (l loader) New(string) (ifc.Loader, error) {
	return nil, doubt("a plugin that loads a kustomization")
}

// Cleanup implements ifc.Loader.
func (l loader) Cleanup() error { return nil }
