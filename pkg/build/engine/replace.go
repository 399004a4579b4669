package engine

import (
	"encoding/json"
	"slices"

	filter "sigs.k8s.io/kustomize/api/filters/replacement"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/resid"
	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"

	"flotilla.dev/flotilla/pkg/fleet"
)

// replace takes the objects through a link's replacements, one after the other.
func (b *build) replace(objects []*object, l *link, from *origin) ([]*object, error) {
	if len(l.replacements) == 0 {
		return objects, nil
	}
	for _, r := range l.replacements {
		if err := b.replaceOne(objects, r); err != nil {
			return nil, err
		}
	}
	if from != nil {
		for _, o := range objects {
			if err := b.act(o, join(join(o.key, l.key), newKey(replacementBy).digest(from.key()).sum()), o.past.then(annotate{from})); err != nil {
				return nil, err
			}
		}
	}
	return present(objects), nil
}

func (b *build) replaceOne(objects []*object, r replacement) error {
	var source *object
	var selected []*object
	for _, o := range objects {
		ids := o.plainIDs()
		if r.source != nil && anyID(ids, func(id resid.ResId) bool { return id.IsSelectedBy(*r.source) }) {
			if source != nil {
				return doubt("%s: two sources", replacementBy)
			}
			source = o
		}
		for _, t := range r.targets {
			is, err := b.targets(o, t, ids)
			if err != nil {
				return err
			}
			if is {
				selected = append(selected, o)
				break
			}
		}
	}
	if r.source != nil && source == nil {
		return doubt("%s: no source", replacementBy)
	}
	a := copyValue{replacement: r, key: r.key}
	if source != nil {
		a.key = join(r.key, source.key)
		a.source = source.again()
	}
	if err := b.valid(a); err != nil {
		return err
	}
	if source != nil && slices.Contains(selected, source) {
		return b.replaceTogether(source, selected, r)
	}
	for _, o := range selected {
		if err := b.act(o, join(o.key, a.key), o.past.then(a)); err != nil {
			return err
		}
	}
	return nil
}

// plainIDs are the ids that the filter goes by: they do not say whether a kind has namespaces.
func (s *summary) plainIDs() []resid.ResId {
	id := s.id
	id.Gvk = resid.Gvk{Group: id.Group, Version: id.Version, Kind: id.Kind}
	return append([]resid.ResId{id}, s.previous...)
}

func anyID(ids []resid.ResId, is func(id resid.ResId) bool) bool {
	for _, id := range ids {
		if is(id) {
			return true
		}
	}
	return false
}

func (b *build) targets(o *object, t target, ids []resid.ResId) (bool, error) {
	if o.odd { // the filter reads labels and annotations of every object, whatever its name
		return false, doubt("%s: labels or annotations that are no mapping", replacementBy)
	}
	if t.ids.RejectsAny(ids) || !anyID(ids, t.ids.Selects) {
		return false, nil
	}
	matched, err := b.matches(o, t.Select)
	for _, reject := range t.Reject {
		if !matched || err != nil || reject.AnnotationSelector == "" && reject.LabelSelector == "" {
			continue
		}
		var rejected bool
		rejected, err = b.matches(o, reject)
		matched = !rejected
	}
	return matched, doubtOf(err, "%s: a selector that kustomize refuses", replacementBy)
}

func (b *build) matches(o *object, s *types.Selector) (bool, error) {
	if s.AnnotationSelector == "" && s.LabelSelector == "" {
		return true, nil
	}
	if err := b.selectable(o); err != nil {
		return false, err
	}
	return matches(o.marked, s)
}

func matches(object *kyaml.RNode, s *types.Selector) (bool, error) {
	byAnnotations, err := object.MatchesAnnotationSelector(s.AnnotationSelector)
	if err != nil {
		return false, err
	}
	byLabels, err := object.MatchesLabelSelector(s.LabelSelector)
	return byAnnotations && byLabels, err
}

// copyValue is what a replacement does to one of its targets.
type copyValue struct {
	replacement
	key    fleet.Digest
	source *object
}

func (a copyValue) do(b *build, tree *resource.Resource) (*resource.Resource, *facts, error) {
	return tree, nil, a.filter(b, tree)
}

// valid has the filter look for the value, which it does even if there is no target.
func (b *build) valid(a copyValue) error {
	key := join(newKey("valid").sum(), a.key)
	if _, is := cached[bool](b.cache, key); is {
		return nil
	}
	if err := a.filter(b, nil); err != nil {
		return err
	}
	b.cache.keep(key, true, 1)
	return nil
}

// filter runs kustomize's filter on a copy of the source and the target.
func (a copyValue) filter(b *build, tree *resource.Resource) error {
	var trees []*resource.Resource
	if a.source != nil {
		source, _, err := b.look(a.source)
		if err != nil {
			return err
		}
		trees = append(trees, source.DeepCopy())
	}
	if tree != nil {
		trees = append(trees, tree)
	}
	return a.run(trees)
}

func (r replacement) run(trees []*resource.Resource) error {
	var own types.Replacement
	if err := json.Unmarshal(r.written, &own); err != nil {
		return doubtOf(err, "%s: one that cannot be read", replacementBy)
	}
	nodes := make([]*kyaml.RNode, len(trees))
	for i, tree := range trees {
		nodes[i] = &tree.RNode
	}
	_, err := filter.Filter{Replacements: []types.Replacement{own}}.Filter(nodes)
	return doubtOf(err, "%s: an error", replacementBy)
}

// annotate notes at an object that the replacements of a layer went over it.
type annotate struct{ from *origin }

func (a annotate) do(_ *build, tree *resource.Resource) (*resource.Resource, *facts, error) {
	o, err := newOne(tree, nil)
	if err != nil {
		return nil, nil, err
	}
	return tree, nil, a.from.transformed(o, replacementBy)
}
