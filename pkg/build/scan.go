package build

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"sigs.k8s.io/kustomize/api/provider"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"flotilla.dev/flotilla/pkg/fleet"
)

func isKustomization(name string) bool { return slices.Contains(kustomizationFiles, path.Base(name)) }

// scan collects the resources of a directory without kustomization file, as Flux does: the YAML files in it and below,
// in lexical order; a sub-directory that has a kustomization file counts as one. A YAML file that holds no Kubernetes
// objects fails the build.
func (t *tree) scan(dir string) ([]string, error) {
	s := scanner{tree: t, factory: provider.NewDefaultDepProvider().GetResourceFactory(), base: dir}
	err := s.walk(dir)
	return s.resources, err
}

type scanner struct {
	*tree
	factory   *resource.Factory
	base      string
	resources []string
}

func (s *scanner) walk(dir string) error {
	entries, err := s.fsys.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // the root of a source without files
	}
	if err != nil {
		return s.fail(err)
	}
	if dir != s.base && slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return !e.IsDir() && isKustomization(e.Name()) }) {
		s.add(dir)
		return nil
	}
	for _, entry := range entries {
		name := path.Join(dir, entry.Name())
		if entry.IsDir() {
			err = s.walk(name)
		} else if ext := path.Ext(name); ext == ".yaml" || ext == ".yml" {
			err = s.file(name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// reader reads files as a build does, and keeps what is in them: who has read one for the scan need not do it again.
type reader interface {
	// Reads reports whether kustomize reads the file as objects. It may not know.
	Reads(ctx context.Context, fsys filesys.FileSystem, name string) bool
}

func (s *scanner) file(name string) (err error) {
	before := s.reads[name]
	if s.reader != nil && s.reader.Reads(s.ctx, s.tree, absolute(name)) {
		s.scanned[name] = s.reads[name] - before
		s.saw(name)
		s.add(name)
		return s.failure
	}
	data, err := s.ReadFile(absolute(name))
	if err != nil {
		return err
	}
	defer func() {
		if r := recover(); r != nil {
			err = s.fail(fmt.Errorf("%w: %s: not Kubernetes YAML: %v", fleet.ErrInvalid, name, r))
		}
	}()
	if _, err := s.factory.SliceFromBytes(data); err != nil {
		return s.fail(fmt.Errorf("%w: %s: not Kubernetes YAML: %s", fleet.ErrInvalid, name, tidy(err.Error())))
	}
	s.add(name)
	return nil
}

// saw notes that what comes of the plan depends on the content of a file that may not have been read.
func (t *tree) saw(name string) {
	if noted, is := t.fsys.(*looks); is {
		if digest, known := digestOf(noted.fsys, name); known {
			noted.note(name, true, answer{file, digest})
		}
	}
}

func (s *scanner) add(name string) {
	inside := name
	if s.base != "." {
		inside = name[len(s.base)+1:]
	}
	s.resources = append(s.resources, "./"+inside) // "./" so that no name can be taken for an address
}
