package engine

import (
	"sigs.k8s.io/kustomize/api/ifc"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/yaml"

	"flotilla.dev/flotilla/pkg/fleet"
)

// link is what the transformers of a kustomization file do to every object, but for replacements, which come last and
// know more than one object. It is kept, and never changes.
type link struct {
	key   fleet.Digest
	steps []step
	// marks are what has to hold for all objects together of what each object says of itself.
	marks []mark
	// checks is how often no two objects may have the same id.
	checks       int
	replacements []replacement
	selectors    selectors
}

// step is one transformer.
type step struct {
	// by is its name in annotations.
	by  string
	run func(o *one, f *facts) error
}

// mark says how many objects one thing has to apply to.
type mark int

const (
	// once is a patch without target: kustomize fails unless it has one.
	once mark = iota
	// some is a number of replicas, which has to be somebody's.
	some
)

// facts are what one object says of itself on its way through a link.
type facts struct {
	marks []bool
	// ids are hashes of its id wherever no other may have the same; 0 if it is gone.
	ids []uint64
}

func (l *link) newFacts() *facts {
	return &facts{make([]bool, len(l.marks)), make([]uint64, l.checks)}
}

// apply takes the object through the link. It is gone afterwards if a patch deletes it.
func (l *link) apply(object *resource.Resource, from *origin) (*facts, error) {
	f := l.newFacts()
	o, err := newOne(object, l.selectors)
	if err != nil {
		return nil, err
	}
	for _, s := range l.steps {
		if err := s.run(o, f); err != nil {
			return nil, doubtOf(err, "%s: an error", s.by)
		}
		if o.gone() {
			if from != nil && o.object.YNode() != nil { // kustomize would note its origin, and keep it
				return nil, doubt("an object with nothing in it")
			}
			break
		}
		if err := from.transformed(o, s.by); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// link returns the transformers of a kustomization file.
func (b *build) link(k *kustomization, from loader) (*link, error) {
	key := newKey("link").text(string(k.transforms))
	for _, name := range k.reads {
		file, err := from.open(name)
		if err != nil {
			return nil, err
		}
		key.digest(file.digest)
	}
	sum := key.sum()
	if known, is := cached[*link](b.cache, sum); is {
		return known, nil
	}
	own := from
	own.loaded = new(int64)
	defer func() { own.files = nil }() // some builtins keep what they loaded from, and the link outlives the build
	t := linker{link: &link{key: sum, selectors: selectors{}}, build: b, k: &k.Kustomization, helpers: b.helpers(&own), specs: defaultSpecs()}
	for _, add := range []func() error{
		t.strategicMerge, t.patches, t.namespace, t.prefix, t.suffix, t.labels, t.annotations, t.json6902, t.replicas, t.images, t.replace,
	} {
		if err := add(); err != nil {
			return nil, err
		}
	}
	b.cache.keep(sum, t.link, perByte*(int64(len(k.transforms))+*own.loaded)+perStep*int64(len(t.steps)))
	return t.link, nil
}

// What a link keeps: patches and replacements as trees, some twice, and the fields that each step knows.
const (
	perByte = 24
	perStep = 4 << 10
)

// linker makes a link: a method for each of kustomize's builtins, in their order.
type linker struct {
	*link
	build   *build
	k       *types.Kustomization
	helpers *resmap.PluginHelpers
	specs   *specs
}

func (b *build) helpers(from ifc.Loader) *resmap.PluginHelpers {
	return resmap.NewPluginHelpers(from, b.validator, resmap.NewFactory(b.factory), types.DisabledPluginConfig())
}

// configure gives a builtin its configuration the way kustomize does, by way of YAML.
func (t *linker) configure(by string, plugin resmap.Configurable, config any) error {
	data, err := yaml.Marshal(config)
	if err == nil {
		err = plugin.Config(t.helpers, data)
	}
	return doubtOf(err, "%s: a configuration that kustomize refuses", by)
}

func (t *linker) add(by string, run func(o *one, f *facts) error) {
	t.steps = append(t.steps, step{by, run})
}

func (t *linker) mark(m mark) int {
	t.marks = append(t.marks, m)
	return len(t.marks) - 1
}

// check returns what notes the object's id where no other may have it.
func (t *linker) check() func(o *one, f *facts) {
	n := t.checks
	t.checks++
	return func(o *one, f *facts) {
		if !o.gone() {
			f.ids[n] = hashOf(o.object.CurId())
		}
	}
}
