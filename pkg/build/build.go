package build

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"sync"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/openapi"
	"sigs.k8s.io/yaml"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/manifest"
)

// Version names what builds: a new version may print other objects for the same files.
const Version = "kustomize-0.21.2/3"

// Limits of one build.
const (
	// MaxInput is the sum of the sizes of the files that a build reads.
	MaxInput = 20 << 20
	// MaxOutput is the sum of the sizes of the documents it prints.
	MaxOutput = 20 << 20
	// MaxObjects is the number of objects it prints.
	MaxObjects = manifest.MaxObjects
)

// building is held during a build: kustomize keeps its schema in a global.
var building sync.Mutex

// Build returns the objects of the directory, one YAML document each, as kustomize prints them and in its order. A
// directory that asks for nothing has no objects, which is no error.
//
// An error of the input wraps fleet.ErrInvalid (fleet.ErrNotFound when the directory is not there) and names the file;
// an error of the file system comes back as it is.
func Build(ctx context.Context, fsys FileSystem, dir string) ([][]byte, error) {
	dir, err := cleanDir(dir)
	if err != nil {
		return nil, err
	}
	t := newTree(ctx, fsys)
	if err := t.confirm(dir); err != nil {
		return nil, err
	}
	building.Lock()
	defer building.Unlock()
	defer func() {
		if t.schemaChanged {
			openapi.ResetOpenAPI()
		}
	}()
	objects, err := t.build(dir)
	switch {
	case t.failure != nil: // what kustomize made of it is beside the point
		return nil, t.failure
	case err != nil:
		return nil, fmt.Errorf("%w: %s", fleet.ErrInvalid, tidy(err.Error()))
	}
	return objects, nil
}

// cleanDir reads the path of a Kustomization as Flux does: relative to the root, with or without a leading slash.
func cleanDir(dir string) (string, error) {
	clean := path.Clean(strings.TrimLeft(dir, "/"))
	if clean == ".." || strings.HasPrefix(clean, "../") {
		return "", fmt.Errorf("%w: path %q is outside of the source", fleet.ErrInvalid, dir)
	}
	return clean, nil
}

func (t *tree) build(dir string) (objects [][]byte, err error) {
	defer func() {
		if r := recover(); r != nil { // kustomize panics on some invalid objects
			objects, err = nil, fmt.Errorf("kustomize panicked: %v", r)
		}
	}()
	empty, err := t.prepare(dir)
	if err != nil || empty {
		return nil, err
	}
	resources, err := krusty.MakeKustomizer(&krusty.Options{
		LoadRestrictions: types.LoadRestrictionsNone, // within the tree; there is nothing else
		PluginConfig:     types.DisabledPluginConfig(),
	}).Run(t, absolute(dir))
	if err != nil {
		return nil, err
	}
	return t.print(resources)
}

// prepare makes the directory one that kustomize can build, and says whether there is nothing to build in it.
func (t *tree) prepare(dir string) (empty bool, err error) {
	found := 0
	for _, name := range kustomizationFiles {
		data, err := t.ReadFile(absolute(path.Join(dir, name)))
		if errors.Is(err, fs.ErrNotExist) || t.IsDir(absolute(path.Join(dir, name))) {
			continue
		}
		if err != nil {
			return false, err
		}
		var k types.Kustomization
		if err := k.Unmarshal(data); err != nil {
			return false, fmt.Errorf("%s: %w", path.Join(dir, name), err)
		}
		if len(k.Resources) == 0 {
			if err := t.markOrigins(path.Join(dir, name), k); err != nil {
				return false, err
			}
		}
		// Kustomize calls a file that asks for nothing an error. As in Flux it is a set without objects, at the top.
		k.FixKustomization()
		empty = k.CheckEmpty() != nil
		found++
	}
	if found > 0 {
		return empty && found == 1, nil
	}
	resources, err := t.scan(dir)
	if err != nil || len(resources) == 0 {
		return true, err
	}
	return false, t.generate(dir, resources)
}

// markOrigins has kustomize say in annotations where objects come from, and leaves out what else the file asks kustomize
// to say. Flux does so for a file that lists no resources (fluxcd/pkg/kustomize, Generator), and an App that it hands
// over must not change.
func (t *tree) markOrigins(file string, k types.Kustomization) error {
	k.BuildMetadata = []string{types.OriginAnnotations}
	data, err := yaml.Marshal(k)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	t.files[file] = data
	return nil
}

func (t *tree) print(resources resmap.ResMap) ([][]byte, error) {
	if n := resources.Size(); n > MaxObjects {
		return nil, fmt.Errorf("it has %d objects; %d are allowed", n, MaxObjects)
	}
	objects := make([][]byte, 0, resources.Size())
	size := 0
	for _, resource := range resources.Resources() {
		document, err := resource.AsYAML()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", resource.CurId(), err)
		}
		if size += len(document); size > MaxOutput {
			return nil, fmt.Errorf("the objects have more than %d bytes together", MaxOutput)
		}
		if err := t.ctx.Err(); err != nil {
			return nil, t.fail(fmt.Errorf("build: %w", err))
		}
		objects = append(objects, document)
	}
	return objects, nil
}
