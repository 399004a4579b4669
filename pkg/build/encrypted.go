package build

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/yaml"

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
	s := sources{tree: t, visited: map[string]bool{}, checked: map[string]bool{}}
	s.visit(dir)
	if len(s.found) == 0 || t.failure != nil {
		return t.failure
	}
	t.touch(dir, map[string]bool{})
	slices.SortFunc(s.found, func(a, b Encrypted) int { return strings.Compare(a.Path, b.Path) })
	return t.fail(&EncryptedError{s.found})
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
	for _, k := range s.kustomizations(dir) {
		for _, args := range k.SecretGenerator {
			for _, file := range args.FileSources {
				key, name, keyed := strings.Cut(file, "=")
				if !keyed {
					name = file
				}
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

// kustomizations returns the kustomization files of the directory: one, or kustomize refuses to build it.
func (t *tree) kustomizations(dir string) []types.Kustomization {
	var out []types.Kustomization
	for _, name := range kustomizationFiles {
		data, err := t.ReadFile(absolute(path.Join(dir, name)))
		if err != nil {
			continue
		}
		var k types.Kustomization
		if yaml.Unmarshal(data, &k) == nil {
			out = append(out, k)
		}
	}
	return out
}

// touch looks at all that kustomize would read to build the directory.
func (t *tree) touch(dir string, visited map[string]bool) {
	if visited[dir] || t.failure != nil {
		return
	}
	visited[dir] = true
	for _, k := range t.kustomizations(dir) {
		for _, r := range references(&k) {
			data := []byte(r.value)
			if !r.inline || !isInline(r.value) {
				name, inside := relative(path.Join(absolute(dir), r.value))
				if !inside {
					continue
				}
				if t.IsDir(absolute(name)) {
					t.touch(name, visited)
					continue
				}
				data, _ = t.ReadFile(absolute(name)) // what is not there is looked at by having been asked for
			}
			if r.plugin {
				t.touchPlugin(dir, data)
			}
		}
	}
}

// touchPlugin looks at the files that the configurations of kustomize's own plugins name.
func (t *tree) touchPlugin(dir string, data []byte) {
	configs, err := pluginConfigs(data)
	if err != nil {
		return // kustomize says so
	}
	for _, config := range configs {
		for _, value := range pathsIn(config.object, false) {
			for _, name := range []string{value, afterKey(value)} {
				if name, inside := relative(path.Join(absolute(dir), name)); inside && t.Exists(absolute(name)) {
					_, _ = t.ReadFile(absolute(name))
				}
			}
		}
	}
}
