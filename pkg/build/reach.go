package build

import (
	"path"

	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/yaml"
)

// reached is a kustomization file that a build comes to.
type reached struct {
	dir, file     string
	kustomization *types.Kustomization
	// invalid says why kustomize refuses the file; what can be read of it is there nevertheless.
	invalid error
}

// reach looks at all that kustomize would read to build the directory, and returns the kustomization files in the order
// in which it came to them. What is not a kustomization file, nor names files itself, is looked at by being asked for.
func (t *tree) reach(dir string) []reached {
	r := reacher{tree: t, visited: map[string]bool{}}
	r.visit(dir)
	return r.found
}

type reacher struct {
	*tree
	visited map[string]bool
	found   []reached
}

func (r *reacher) visit(dir string) {
	if r.visited[dir] || r.failure != nil {
		return
	}
	r.visited[dir] = true
	here := r.kustomizations(dir)
	r.found = append(r.found, here...)
	for _, k := range here {
		for _, ref := range references(k.kustomization) {
			r.follow(dir, ref)
		}
	}
}

func (r *reacher) follow(dir string, ref reference) {
	data := []byte(ref.value)
	if !ref.inline || !isInline(ref.value) {
		name, inside := relative(path.Join(absolute(dir), ref.value))
		switch {
		case !inside, !r.Exists(absolute(name)): // it is refused, or kustomize says that it is not there
			return
		case r.IsDir(absolute(name)):
			if ref.base {
				r.visit(name)
			}
			return
		case !ref.plugin:
			return
		}
		var err error
		if data, err = r.ReadFile(absolute(name)); err != nil {
			return
		}
	}
	if ref.plugin {
		r.followPlugin(dir, data)
	}
}

// followPlugin looks at the files that the configurations of kustomize's own plugins name.
func (r *reacher) followPlugin(dir string, data []byte) {
	configs, err := pluginConfigs(data)
	if err != nil {
		return // kustomize says so
	}
	for _, config := range configs {
		for _, value := range pathsIn(config.object, false) {
			for _, name := range []string{value, afterKey(value)} {
				if name, inside := relative(path.Join(absolute(dir), name)); inside {
					r.Exists(absolute(name))
				}
			}
		}
	}
}

// kustomizations returns the kustomization files of the directory: one, or kustomize refuses to build it.
func (t *tree) kustomizations(dir string) []reached {
	var out []reached
	for _, name := range kustomizationFiles {
		file := path.Join(dir, name)
		data, err := t.ReadFile(absolute(file))
		if err != nil {
			continue
		}
		k, err := t.parse(file, data)
		if k != nil {
			out = append(out, reached{dir: dir, file: file, kustomization: k, invalid: err})
		}
	}
	return out
}

// parsed is a kustomization file as kustomize reads it, or why it does not.
type parsed struct {
	kustomization *types.Kustomization
	err           error
}

// parse reads a kustomization file, once. With an error it returns what Flux, which is not strict, sees of the file, or
// nil.
func (t *tree) parse(file string, data []byte) (*types.Kustomization, error) {
	if p, known := t.parsed[file]; known {
		return p.kustomization, p.err
	}
	p := parsed{kustomization: new(types.Kustomization)}
	if p.err = p.kustomization.Unmarshal(data); p.err != nil {
		p.kustomization = new(types.Kustomization)
		if yaml.Unmarshal(data, p.kustomization) != nil {
			p.kustomization = nil
		}
	}
	t.parsed[file] = p
	return p.kustomization, p.err
}
