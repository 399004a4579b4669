package engine

import (
	"hash/maphash"

	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/resid"
)

// one is a resource map with one object: what a builtin sees that works on objects one by one.
type one struct {
	resmap.ResMap
	object    *resource.Resource
	selectors selectors
}

// selectors are those that were compiled before.
type selectors map[types.Selector]*types.SelectorRegex

func newOne(object *resource.Resource, known selectors) (*one, error) {
	m := resmap.New()
	if err := m.Append(object); err != nil {
		return nil, doubtOf(err, "an object that cannot be added")
	}
	return &one{m, object, known}, nil
}

// gone reports whether a transformer deleted the object.
func (o *one) gone() bool { return o.object.IsNilOrEmpty() }

// Select is that of kustomize's resource map, which compiles the selector again for every map.
func (o *one) Select(s types.Selector) ([]*resource.Resource, error) {
	selected, err := o.selectors.selects(s, o.object)
	if !selected || err != nil {
		return nil, err
	}
	return []*resource.Resource{o.object}, nil
}

func (all selectors) selects(s types.Selector, r *resource.Resource) (bool, error) {
	compiled := all[s]
	if compiled == nil {
		var err error
		if compiled, err = types.NewSelectorRegex(&s); err != nil {
			return false, err
		}
		all[s] = compiled
	}
	current, original := r.CurId(), r.OrgId()
	switch {
	case !compiled.MatchNamespace(original.EffectiveNamespace()) && !compiled.MatchNamespace(current.EffectiveNamespace()):
		return false, nil
	case !compiled.MatchName(original.Name) && !compiled.MatchName(current.Name):
		return false, nil
	case !compiled.MatchGvk(r.GetGvk()):
		return false, nil
	}
	if matched, err := r.MatchesLabelSelector(s.LabelSelector); !matched || err != nil {
		return false, err
	}
	return r.MatchesAnnotationSelector(s.AnnotationSelector)
}

// is reports whether the object has or had the id.
func (o *one) is(id resid.ResId) bool {
	return len(o.GetMatchingResourcesByAnyId(id.Equals)) > 0
}

var seed = maphash.MakeSeed()

// hashOf is a hash of what makes two ids equal. Different ids that share one end in a Doubt, no more.
func hashOf(id resid.ResId) uint64 {
	h := maphash.Hash{}
	h.SetSeed(seed)
	for _, part := range []string{id.EffectiveNamespace(), id.Group, id.Version, id.Kind, id.Name} {
		_, _ = h.WriteString(part) // never fails
		_ = h.WriteByte(0)
	}
	return max(h.Sum64(), 1) // none is 0
}
