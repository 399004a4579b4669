package engine

import (
	"context"

	"sigs.k8s.io/kustomize/api/ifc"
	"sigs.k8s.io/kustomize/api/provider"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"flotilla.dev/flotilla/pkg/fleet"
)

// build is one build.
type build struct {
	ctx       context.Context // a build lives as long as its call
	cache     *cache
	files     *files
	factory   *resource.Factory
	validator ifc.Validator
	// seen is used again by every check for ids that are there twice.
	seen map[uint64]struct{}
	// metadata is what the kustomization file at the top has objects say of their making.
	metadata []string
	// fresh are the trees of files that were read for the first time, by digest. Those that were taken are nil.
	fresh map[fleet.Digest][]*resource.Resource
}

func newBuild(ctx context.Context, c *cache, fsys filesys.FileSystem) *build {
	kustomize := provider.NewDefaultDepProvider()
	return &build{
		ctx: ctx, cache: c, files: newFiles(fsys), factory: kustomize.GetResourceFactory(), validator: kustomize.GetFieldValidator(),
		seen: map[uint64]struct{}{}, fresh: map[fleet.Digest][]*resource.Resource{},
	}
}

func (b *build) run(path string) ([][]byte, error) {
	dir, err := filesys.ConfirmDir(b.files.fsys, path)
	if err != nil {
		return nil, doubtOf(err, "a directory that is not there")
	}
	k, file, err := b.load(dir)
	if err != nil {
		return nil, err
	}
	b.metadata = k.BuildMetadata
	at := layer{kustomization: k, path: []filesys.ConfirmedDir{dir}, file: file}
	if len(b.metadata) > 0 {
		at.origin = &resource.Origin{}
	}
	objects, err := b.accumulate(nil, at)
	if err != nil {
		return nil, err
	}
	return b.finish(objects, k.SortOptions)
}

// layer is a kustomization file in its place.
type layer struct {
	*kustomization
	// path are the directories that lead to it, itself last.
	path   []filesys.ConfirmedDir
	file   string
	origin *resource.Origin
}

func (l layer) dir() filesys.ConfirmedDir { return l.path[len(l.path)-1] }

// accumulate adds the objects of a layer to those that are there, which are none or, for a component, those of the layer
// that names it, and transforms them all.
func (b *build) accumulate(objects []*object, at layer) ([]*object, error) {
	from := loader{files: b.files, root: at.dir()}
	for _, name := range at.Resources {
		more, err := b.resources(name, from, at)
		if err != nil {
			return nil, err
		}
		objects = append(objects, more...)
	}
	if err := b.distinct(objects); err != nil {
		return nil, err
	}
	var err error
	for _, g := range at.generators {
		if objects, err = b.generate(objects, g, from, at); err != nil {
			return nil, err
		}
	}
	for _, name := range at.Components {
		below, err := b.enter(name, at)
		if err != nil {
			return nil, err
		}
		if below.Kind != types.ComponentKind {
			return nil, doubt("a component that is none")
		}
		if objects, err = b.accumulate(objects, below); err != nil {
			return nil, err
		}
		if err := b.distinct(objects); err != nil {
			return nil, err
		}
	}
	link, err := b.link(at.kustomization, from)
	if err != nil {
		return nil, err
	}
	return b.transform(objects, link, at)
}

// resources returns the objects of a file or a base.
func (b *build) resources(name string, from loader, at layer) ([]*object, error) {
	if file, is := b.files.open(from.root.Join(name)); is {
		return b.file(file, at.origin, name)
	}
	below, err := b.enter(name, at)
	if err != nil {
		return nil, err
	}
	if below.Kind == types.ComponentKind {
		return nil, doubt("a component among the resources")
	}
	return b.accumulate(nil, below)
}

func (b *build) enter(name string, at layer) (layer, error) {
	dir, err := b.below(at.path, name)
	if err != nil {
		return layer{}, err
	}
	k, file, err := b.load(dir)
	if err != nil {
		return layer{}, err
	}
	below := layer{kustomization: k, path: append(at.path[:len(at.path):len(at.path)], dir), file: file}
	if at.origin != nil {
		below.origin = at.origin.Append(name)
	}
	return below, nil
}

// transform takes the objects through a link. Those that are gone afterwards are left out.
func (b *build) transform(objects []*object, l *link, at layer) ([]*object, error) {
	from := at.transformer()
	key := join(l.key, from.key())
	if len(l.steps) > 0 {
		marked := make([]int, len(l.marks))
		var a act = linkAct{l, from}
		pasts := map[*past]*past{}
		for _, o := range objects {
			with := pasts[o.past]
			if with == nil {
				with = o.past.then(a)
				pasts[o.past] = with
			}
			if err := b.act(o, join(o.key, key), with); err != nil {
				return nil, err
			}
			for i, is := range o.marks {
				if is {
					marked[i]++
				}
			}
		}
		for i, m := range l.marks {
			if m == once && marked[i] != 1 || m == some && marked[i] == 0 {
				return nil, doubt("a patch or a number of replicas for an object that is not there, or not the only one")
			}
		}
		for i := range l.checks {
			if err := b.different(objects, func(o *object) uint64 { return o.ids[i] }); err != nil {
				return nil, err
			}
		}
		objects = present(objects)
	}
	return b.replace(objects, l, from)
}

type linkAct struct {
	*link
	from *origin
}

func (a linkAct) do(_ *build, tree *resource.Resource) (*resource.Resource, *facts, error) {
	f, err := a.apply(tree, a.from)
	return tree, f, err
}

func present(objects []*object) []*object {
	n := 0
	for _, o := range objects {
		if !o.gone {
			objects[n] = o
			n++
		}
	}
	return objects[:n]
}

// distinct wants all objects to have different ids.
func (b *build) distinct(objects []*object) error {
	return b.different(objects, func(o *object) uint64 { return o.hash })
}

func (b *build) different(objects []*object, hash func(o *object) uint64) error {
	clear(b.seen)
	for _, o := range objects {
		h := hash(o)
		if _, again := b.seen[h]; again && h != 0 {
			return doubt("two objects of one name")
		}
		b.seen[h] = struct{}{}
	}
	return nil
}
