package build

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"flotilla.dev/flotilla/pkg/build/engine"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/sops"
)

// Encrypted is a file that a build needs in plain text and that is encrypted with SOPS. Its format follows from where it
// is used: a generator's key decides, where there is one, and not the file's name.
type Encrypted struct {
	Path   string      `json:"path"`
	Format sops.Format `json:"format"`
}

// EncryptedError says that a build cannot be made without decrypting files. The inputs of a build that ended with it
// are all that one of the plain text looks at.
type EncryptedError struct {
	// Files are sorted by path.
	Files []Encrypted
}

func (e *EncryptedError) Error() string {
	return e.List() + ": encrypted with SOPS; set spec.decryption, which has the build made of the plain text"
}

// List names the files, the first of them where there are many.
func (e *EncryptedError) List() string {
	const shown = 5
	var paths []string
	for _, file := range e.Files[:min(len(e.Files), shown)] {
		paths = append(paths, file.Path)
	}
	list := strings.Join(paths, ", ")
	if more := len(e.Files) - len(paths); more > 0 {
		list = fmt.Sprintf("%s and %d more", list, more)
	}
	return list
}

// Unwrap returns fleet.ErrInvalid.
func (e *EncryptedError) Unwrap() error { return fleet.ErrInvalid }

// findEncrypted refuses what is encrypted of the files that Flux decrypts before it builds (kustomize-controller, Decryptor's
// DecryptSources): the files and envs of secret generators and the files of patches, in the directory and in what its
// kustomization file includes. What is encrypted elsewhere is data to a build: Flux decrypts it in Secrets afterwards,
// and not at all in a ConfigMap.
func (t *tree) findEncrypted(dir string) error {
	found := t.encrypted(dir)
	if len(found) == 0 || t.failure != nil {
		return t.failure
	}
	t.reach(dir)
	return t.fail(&EncryptedError{found})
}

// encrypted returns the files that Flux decrypts before it builds, sorted by path.
func (t *tree) encrypted(dir string) []Encrypted {
	s := sources{tree: t, visited: map[string]bool{}, checked: map[string]bool{}}
	s.visit(dir)
	slices.SortFunc(s.found, func(a, b Encrypted) int { return strings.Compare(a.Path, b.Path) })
	return s.found
}

// sources walks through kustomization files in the order in which Flux decrypts what they use: a file that is used
// twice is taken for what it is used as first.
type sources struct {
	*tree
	visited, checked map[string]bool
	found            []Encrypted
}

func (s *sources) visit(dir string) {
	if s.visited[dir] || s.failure != nil {
		return
	}
	s.visited[dir] = true
	for _, r := range s.kustomizations(dir) {
		k := r.kustomization
		for _, args := range k.SecretGenerator {
			for _, file := range args.FileSources {
				key, name := engine.CutSource(file)
				s.check(dir, name, sops.FormatOf(key))
			}
			for _, name := range args.EnvSources {
				format := sops.FormatOf(name)
				if format == sops.Binary {
					format = sops.Dotenv
				}
				s.check(dir, name, format)
			}
		}
		for _, patch := range k.Patches {
			if patch.Path != "" {
				s.check(dir, patch.Path, sops.FormatOf(patch.Path))
			}
		}
		for _, base := range append(slices.Clone(k.Resources), k.Components...) {
			if name, inside := relative(path.Join(absolute(dir), base)); inside && s.IsDir(absolute(name)) {
				s.visit(name)
			}
		}
	}
}

func (s *sources) check(dir, name string, format sops.Format) {
	name, inside := relative(path.Join(absolute(dir), name))
	if !inside || s.checked[name] {
		return
	}
	s.checked[name] = true
	data, err := s.ReadFile(absolute(name))
	if err == nil && format.Marked(data) { // kustomize says what is wrong with the file
		s.found = append(s.found, Encrypted{name, format})
	}
}
