package engine

import (
	"context"

	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"flotilla.dev/flotilla/pkg/fleet"
)

var aheadKey = newKey("ahead").sum()

// Reads reports whether kustomize reads the file as objects. When it returns false, that is not certain. The next build
// that reads the file finds it read.
func (e *Engine) Reads(ctx context.Context, fsys filesys.FileSystem, name string) (is bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	defer func() {
		if recover() != nil { // as in Build
			is = false
		}
	}()
	b := newBuild(ctx, e.cache, fsys)
	f, there := b.files.open(name)
	return there && b.readAhead(f) == nil
}

func (b *build) readAhead(f *blob) error {
	for _, of := range []fleet.Digest{readKey, aheadKey} {
		if _, is := b.cache.Get(join(of, f.digest)); is {
			return nil
		}
	}
	data, err := f.content()
	if err != nil {
		return err
	}
	objects, err := b.parse(data)
	if err != nil {
		return err
	}
	b.cache.keep(join(aheadKey, f.digest), objects, sizeOfAll(objects))
	return nil
}

// parseObjects returns the trees of a file that no build has read. Nobody else has them.
func (b *build) parseObjects(f *blob) ([]*resource.Resource, error) {
	if ahead, is := b.cache.Take(join(aheadKey, f.digest)); is {
		return ahead.([]*resource.Resource), nil
	}
	data, err := f.content()
	if err != nil {
		return nil, err
	}
	objects, err := b.parse(data)
	return objects, doubtOf(err, "a file that kustomize does not read")
}
