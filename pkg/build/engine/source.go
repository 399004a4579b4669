package engine

import (
	"strconv"

	"sigs.k8s.io/kustomize/api/filters/annotations"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/yaml"

	"flotilla.dev/flotilla/pkg/fleet"
)

// originAnnotation is where an object says which file it is from.
const originAnnotation = "config.kubernetes.io/origin"

// file is what is known of a file's objects without their trees.
type file struct {
	keys      []fleet.Digest
	summaries []*summary
}

var fileKey = newKey("file").sum()

// file returns the objects of a file that a kustomization file with that origin lists by that name. They say where they
// are from if there is an origin.
func (b *build) file(f *blob, origin *resource.Origin, name string) ([]*object, error) {
	from := &document{f, origin, name}
	key := join(fileKey, f.digest)
	if origin != nil {
		key = join(key, newKey("listed").text(origin.Repo, origin.Ref, origin.Path, name).sum())
	}
	known, is := cached[*file](b.cache, key)
	if !is {
		return b.newFile(from, key)
	}
	all := make([]object, len(known.keys))
	objects := make([]*object, len(all))
	for i := range all {
		all[i] = object{key: known.keys[i], summary: known.summaries[i], from: from, index: i}
		objects[i] = &all[i]
	}
	return objects, nil
}

func (b *build) newFile(from *document, key fleet.Digest) ([]*object, error) {
	trees, err := b.read(from.file)
	if err != nil {
		return nil, err
	}
	f, size := &file{}, int64(0)
	objects := make([]*object, len(trees))
	for i := range objects {
		o := &object{key: join(key, fleet.DigestOf([]byte(strconv.Itoa(i)))), from: from, index: i}
		tree, _, err := b.look(o)
		if err != nil {
			return nil, err
		}
		o.summary = summarize(tree, nil)
		f.keys, f.summaries, size = append(f.keys, o.key), append(f.summaries, o.summary), size+o.size()+40
		objects[i] = o
	}
	b.cache.keep(key, f, size)
	return objects, nil
}

var readKey = newKey("read").sum()

// read returns the trees of a file's objects. Who takes one, once, may change it; a file that is read again is one that
// other builds want too, and its trees are kept.
func (b *build) read(f *blob) ([]*resource.Resource, error) {
	if fresh, is := b.fresh[f.digest]; is {
		return fresh, nil
	}
	if known, is := b.cache.trees.Get(f.digest); is {
		return known, nil
	}
	objects, err := b.parseObjects(f)
	if err != nil {
		return nil, err
	}
	before := join(readKey, f.digest)
	if _, is := cached[bool](b.cache, before); !is {
		b.cache.keep(before, true, 1)
		b.fresh[f.digest] = objects
		return objects, nil
	}
	b.cache.trees.Put(f.digest, objects, sizeOfAll(objects))
	return objects, nil
}

// take returns one of the trees of a file's objects, to be changed.
func (b *build) take(f *blob, index int) (*resource.Resource, error) {
	for {
		objects, err := b.read(f)
		if err != nil {
			return nil, err
		}
		if index >= len(objects) {
			return nil, doubt("a file that changed during the build")
		}
		_, fresh := b.fresh[f.digest]
		if !fresh {
			return objects[index].DeepCopy(), nil
		}
		if object := objects[index]; object != nil {
			objects[index] = nil
			return object, nil
		}
		delete(b.fresh, f.digest) // it was taken before: the file is read again, to be kept
	}
}

func sizeOfAll(objects []*resource.Resource) int64 {
	size := int64(0)
	for _, o := range objects {
		size += sizeOf(o.YNode())
	}
	return size
}

// sizeOf is about what a tree takes.
func sizeOf(node *yaml.Node) int64 {
	size := int64(200 + len(node.Value) + len(node.HeadComment) + len(node.LineComment) + len(node.FootComment))
	for _, child := range node.Content {
		size += 8 + sizeOf(child)
	}
	return size
}

// document makes the objects of a file.
type document struct {
	file   *blob
	origin *resource.Origin
	name   string
}

func (d *document) make(b *build, index int) (*resource.Resource, error) {
	object, err := b.take(d.file, index)
	if err != nil || d.origin == nil {
		return object, err
	}
	origin, err := d.origin.Append(d.name).String()
	if err != nil || origin == "" {
		return nil, doubt("an origin that cannot be written")
	}
	return object, doubtOf(object.ApplyFilter(annotations.Filter{
		Annotations: map[string]string{originAnnotation: origin},
		FsSlice:     types.FsSlice{{Path: "metadata/annotations", CreateIfNotPresent: true}},
	}), "an origin that cannot be noted")
}
