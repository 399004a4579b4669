package engine

import (
	"errors"

	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/kyaml/resid"
	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"

	"flotilla.dev/flotilla/pkg/fleet"
)

// object is an object on its way through a build. Its tree exists only while somebody wants to look into it: what other
// objects have to know of it is in the summary, and all of that may be known from an earlier build.
type object struct {
	// key says how the object came to be: two with the same key are the same.
	key fleet.Digest
	*summary
	// from makes the tree that the object began as.
	from  source
	index int
	// past is what has been done to it since, and done how much of that was done to the tree, if there is one.
	past *past
	done int
	tree *resource.Resource
}

// source makes the trees of objects, a new one each time.
type source interface {
	make(b *build, index int) (*resource.Resource, error)
}

// act changes the tree of an object. What it makes of one depends on nothing but the tree and the act.
type act interface {
	do(b *build, tree *resource.Resource) (*resource.Resource, *facts, error)
}

// past is a list of acts, the last one first. Objects that the same happened to share it.
type past struct {
	before *past
	last   act
	number int
}

// then is the past with one more act.
func (p *past) then(a act) *past {
	if p == nil {
		return &past{last: a, number: 1}
	}
	return &past{p, a, p.number + 1}
}

// since returns the acts after the first so many, in order.
func (p *past) since(done int) []act {
	if p == nil || p.number <= done {
		return nil
	}
	acts := make([]act, p.number-done)
	for i := len(acts) - 1; i >= 0; i-- {
		acts[i], p = p.last, p.before
	}
	return acts
}

// summary is what other objects have to know of one.
type summary struct {
	// facts are those of the last act.
	*facts
	gone      bool
	id        resid.ResId
	hash      uint64
	previous  []resid.ResId
	trail     trail
	needsHash bool
	// odd is set when labels or annotations are something else than a mapping.
	odd bool
	// self is the digest of what references to the object depend on, once it is asked for.
	self fleet.Digest
	// marked has the object's labels and annotations and nothing else. Few builds ask for them.
	marked *kyaml.RNode
}

// trail is where kustomize notes what an object was called, in its annotations.
type trail struct{ names, namespaces, kinds, prefixes, suffixes string }

// The annotations are internal to kustomize, but for konfig's domain.
const (
	previousNames      = konfig.ConfigAnnoDomain + "/previousNames"
	previousNamespaces = konfig.ConfigAnnoDomain + "/previousNamespaces"
	previousKinds      = konfig.ConfigAnnoDomain + "/previousKinds"
	namePrefixes       = konfig.ConfigAnnoDomain + "/prefixes"
	nameSuffixes       = konfig.ConfigAnnoDomain + "/suffixes"
)

func summarize(r *resource.Resource, f *facts) *summary {
	if r.IsNilOrEmpty() {
		return &summary{facts: f, gone: true}
	}
	noted := r.GetAnnotations(previousNames, previousNamespaces, previousKinds, namePrefixes, nameSuffixes)
	id := r.CurId()
	s := &summary{
		facts: f, id: id, hash: hashOf(id), needsHash: r.NeedHashSuffix(),
		trail: trail{noted[previousNames], noted[previousNamespaces], noted[previousKinds], noted[namePrefixes], noted[nameSuffixes]},
	}
	if metadata := fieldOf(r.YNode(), kyaml.MetadataField); metadata != nil {
		for _, name := range []string{kyaml.LabelsField, kyaml.AnnotationsField} {
			field := fieldOf(metadata, name)
			s.odd = s.odd || field != nil && field.Kind != kyaml.MappingNode && !kyaml.IsYNodeTaggedNull(field)
		}
	}
	if _, has := noted[previousNames]; has {
		s.previous = r.PrevIds()
	}
	return s
}

func (s *summary) size() int64 {
	size := 400 + len(s.id.Name) + len(s.id.Namespace) + len(s.trail.names) + len(s.trail.namespaces) + len(s.trail.kinds) + 120*len(s.previous)
	if s.facts != nil {
		size += 48 + len(s.marks) + 8*len(s.ids)
	}
	return int64(size)
}

// is reports whether the object has or had the id.
func (s *summary) is(id resid.ResId) bool {
	if s.id.Equals(id) {
		return true
	}
	for _, previous := range s.previous {
		if previous.Equals(id) {
			return true
		}
	}
	return false
}

// original is kustomize's OrgId.
func (s *summary) original() resid.ResId {
	if len(s.previous) > 0 {
		return s.previous[0]
	}
	return s.id
}

// act has something done to the object, which is then another one: that of the key.
func (b *build) act(o *object, key fleet.Digest, with *past) error {
	o.key, o.past = key, with
	return b.summarize(o)
}

// summarize finds the summary for the object's key: that of an earlier build, or that of its tree.
func (b *build) summarize(o *object) error {
	if known, is := cached[*summary](b.cache, o.key); is {
		o.summary = known
		return nil
	}
	tree, f, err := b.look(o)
	if err != nil {
		return err
	}
	o.summary = summarize(tree, f)
	b.cache.keep(o.key, o.summary, o.size())
	return nil
}

// look returns the object's tree, and the facts of the last act if it was done for it.
func (b *build) look(o *object) (*resource.Resource, *facts, error) {
	if err := b.ctx.Err(); err != nil {
		return nil, nil, err
	}
	var f *facts
	var err error
	if o.tree == nil {
		if o.tree, err = o.from.make(b, o.index); err != nil {
			return nil, nil, err
		}
		o.done = 0
	}
	for _, a := range o.past.since(o.done) {
		if o.tree, f, err = a.do(b, o.tree); err != nil {
			return nil, nil, err
		}
		o.done++
	}
	return o.tree, f, nil
}

// again returns the object as it is now, for who wants a tree of their own.
func (o *object) again() *object {
	return &object{key: o.key, from: o.from, index: o.index, past: o.past}
}

// selectable makes the object's labels and annotations known.
func (b *build) selectable(o *object) error {
	if o.marked != nil {
		return nil
	}
	tree, _, err := b.look(o)
	if err != nil {
		return err
	}
	marked := kyaml.NewMapRNode(nil)
	if err := errors.Join(marked.SetLabels(tree.GetLabels()), marked.SetAnnotations(tree.GetAnnotations())); err != nil {
		return doubtOf(err, "labels that cannot be read")
	}
	o.marked = marked
	b.cache.keep(o.key, o.summary, o.size()+2*sizeOf(marked.YNode()))
	return nil
}
