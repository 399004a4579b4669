package build

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"strings"
	"sync"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/openapi"

	"flotilla.dev/flotilla/pkg/build/engine"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/manifest"
)

// Version names what builds: a new version may print other objects for the same files.
const Version = "kustomize-0.21.2/5+" + engine.Version

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

// Build returns the objects of the directory with the spec on top, one YAML document each, as kustomize prints them and
// in its order. A directory that asks for nothing has no objects, which is no error.
//
// An error of the input wraps fleet.ErrInvalid (fleet.ErrNotFound when the directory is not there) and names the file or
// the field of the spec; it is an *EncryptedError when files have to be decrypted first. An error of the file system
// comes back as it is.
func Build(ctx context.Context, fsys FileSystem, dir string, spec fleet.BuildSpec) ([][]byte, error) {
	dir, err := cleanDir(dir)
	if err != nil {
		return nil, err
	}
	t := newTree(ctx, fsys)
	if err := t.confirm(dir); err != nil {
		return nil, err
	}
	defer t.begin()()
	objects, err := t.build(dir, spec)
	if err := t.explain(err); err != nil {
		return nil, err
	}
	return objects, nil
}

// begin waits until nothing else builds; the function it returns ends that.
func (t *tree) begin() (end func()) {
	building.Lock()
	return func() {
		if t.schemaChanged {
			openapi.ResetOpenAPI()
		}
		building.Unlock()
	}
}

// cleanDir reads the path of a Kustomization as Flux does: relative to the root, with or without a leading slash.
func cleanDir(dir string) (string, error) {
	clean := path.Clean(strings.TrimLeft(dir, "/"))
	if clean == ".." || strings.HasPrefix(clean, "../") {
		return "", fmt.Errorf("%w: path %q is outside of the source", fleet.ErrInvalid, dir)
	}
	return clean, nil
}

func (t *tree) build(dir string, spec fleet.BuildSpec) ([][]byte, error) {
	top, err := t.prepare(dir, spec)
	if err != nil {
		return nil, err
	}
	if err := t.findEncrypted(dir); err != nil {
		return nil, err
	}
	return t.kustomize(top)
}

// kustomize has kustomize build what was prepared.
func (t *tree) kustomize(top *overlay) ([][]byte, error) {
	resources, err := t.run(top.dir)
	if err != nil {
		return nil, t.blame(top, err)
	}
	return t.print(resources)
}

func (t *tree) run(dir string) (resources resmap.ResMap, err error) {
	defer func() {
		if r := recover(); r != nil { // kustomize panics on some invalid objects
			resources, err = nil, fmt.Errorf("kustomize panicked: %v", r)
		}
	}()
	_ = openapi.Schema() // loads kustomize's own, which a schema of the files adds to, and would else replace
	return krusty.MakeKustomizer(&krusty.Options{
		LoadRestrictions: types.LoadRestrictionsNone, // within the tree; there is nothing else
		PluginConfig:     types.DisabledPluginConfig(),
	}).Run(t, absolute(dir))
}

func (t *tree) print(resources resmap.ResMap) ([][]byte, error) {
	if err := boundedNumber(resources.Size()); err != nil {
		return nil, err
	}
	objects := make([][]byte, 0, resources.Size())
	size := 0
	for _, resource := range resources.Resources() {
		document, err := resource.AsYAML()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", resource.CurId(), err)
		}
		size += len(document)
		if err := boundedSize(size); err != nil {
			return nil, err
		}
		if err := t.ctx.Err(); err != nil {
			return nil, t.fail(fmt.Errorf("build: %w", err))
		}
		objects = append(objects, document)
	}
	return objects, nil
}

// bounded says whether a build may print these.
func bounded(objects [][]byte) error {
	size := 0
	for _, document := range objects {
		size += len(document)
	}
	return cmp.Or(boundedNumber(len(objects)), boundedSize(size))
}

func boundedNumber(objects int) error {
	if objects > MaxObjects {
		return fmt.Errorf("it has %d objects; %d are allowed", objects, MaxObjects)
	}
	return nil
}

func boundedSize(bytes int) error {
	if bytes > MaxOutput {
		return fmt.Errorf("the objects have more than %d bytes together", MaxOutput)
	}
	return nil
}
