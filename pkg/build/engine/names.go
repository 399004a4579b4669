package engine

import (
	"slices"

	"sigs.k8s.io/kustomize/api/filters/nameref"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/kyaml/resid"
	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"

	"flotilla.dev/flotilla/pkg/fleet"
)

// names finds the objects that a name may refer to: those that once had it. Kustomize looks at all objects for every
// reference, and again at what it found for whether the kind fits and so on; an object that never had the name is the
// first to be left out.
type names struct {
	objects []*object
	// had are the objects that had a name before.
	had     map[string][]int32
	digests map[string]fleet.Digest
	stubs   map[int]*resource.Resource
	// scopes are objects of which each stands for all that had, and have, its namespace. Where a reference says a
	// namespace, kustomize asks whether there is any object that had it.
	scopes       []int
	scopesDigest fleet.Digest
}

type scope struct {
	original, current string
	cluster           bool
}

func newNames(objects []*object) *names {
	n := &names{
		objects: objects, had: make(map[string][]int32, 2*len(objects)), digests: map[string]fleet.Digest{}, stubs: map[int]*resource.Resource{},
	}
	seen := map[scope]bool{}
	var last scope
	key := newKey("scopes")
	for i, o := range objects {
		for j, id := range o.previous {
			if !slices.ContainsFunc(o.previous[:j], func(other resid.ResId) bool { return other.Name == id.Name }) {
				n.had[id.Name] = append(n.had[id.Name], int32(i)) //nolint:gosec // there are not as many
			}
		}
		s := scope{o.original().EffectiveNamespace(), o.id.Namespace, o.id.IsClusterScoped()}
		if i > 0 && s == last || seen[s] {
			continue
		}
		seen[s], last = true, s
		n.scopes = append(n.scopes, i)
		key.digest(o.digest())
	}
	n.scopesDigest = key.sum()
	return n
}

// digest is one of what a reference to the object depends on.
func (s *summary) digest() fleet.Digest {
	if s.self.IsZero() {
		t := s.trail
		s.self = newKey("self").text(
			s.id.ApiVersion(), s.id.Kind, s.id.Name, s.id.Namespace, t.names, t.namespaces, t.kinds, t.prefixes, t.suffixes,
		).sum()
	}
	return s.self
}

var nobody = newKey("nobody").sum()

// digest is one of all that had the name.
func (n *names) digest(name string) fleet.Digest {
	had := n.had[name]
	switch len(had) {
	case 0:
		return nobody
	case 1:
		return n.objects[had[0]].digest()
	}
	d, known := n.digests[name]
	if !known {
		key := newKey("had")
		for _, i := range had {
			key.digest(n.objects[i].digest())
		}
		d = key.sum()
		n.digests[name] = d
	}
	return d
}

// candidates is a resource map of what the names may refer to, in the order of all objects.
func (n *names) candidates(values []string, scoped bool) (resmap.ResMap, error) {
	var places []int
	for _, value := range values {
		for _, i := range n.had[value] {
			places = append(places, int(i))
		}
	}
	if len(places) == 0 {
		return nil, nil
	}
	if scoped {
		places = append(places, n.scopes...)
	}
	slices.Sort(places)
	m := resmap.New()
	for _, i := range slices.Compact(places) {
		stub, err := n.stub(i)
		if err != nil {
			return nil, err
		}
		if err := m.Append(stub); err != nil {
			return nil, doubtOf(err, "two objects of one name")
		}
	}
	return m, nil
}

// stub stands for an object where only what it is and was called matters.
func (n *names) stub(i int) (*resource.Resource, error) {
	if known := n.stubs[i]; known != nil {
		return known, nil
	}
	s := n.objects[i].summary
	node := func(pairs ...string) *kyaml.Node {
		m := &kyaml.Node{Kind: kyaml.MappingNode, Tag: kyaml.NodeTagMap}
		for _, text := range pairs {
			m.Content = append(m.Content, &kyaml.Node{Kind: kyaml.ScalarNode, Tag: kyaml.NodeTagString, Value: text})
		}
		return m
	}
	var noted []string
	for _, note := range [][2]string{
		{previousNames, s.trail.names}, {previousNamespaces, s.trail.namespaces}, {previousKinds, s.trail.kinds},
		{namePrefixes, s.trail.prefixes}, {nameSuffixes, s.trail.suffixes},
	} {
		if note[1] != "" {
			noted = append(noted, note[0], note[1])
		}
	}
	metadata := node("name", s.id.Name)
	if s.id.Namespace != "" {
		metadata.Content = append(metadata.Content, node("namespace", s.id.Namespace).Content...)
	}
	if len(noted) > 0 {
		metadata.Content = append(append(metadata.Content, node("annotations").Content...), node(noted...))
	}
	object := node("apiVersion", s.id.ApiVersion(), "kind", s.id.Kind, "metadata")
	object.Content = append(object.Content, metadata)
	stub := &resource.Resource{RNode: *kyaml.NewRNode(object)}
	if stub.CurId() != s.id || !slices.Equal(stub.PrevIds(), s.previous) {
		return nil, doubt("an object whose names are odd")
	}
	n.stubs[i] = stub
	return stub, nil
}

// used are the names that an object's references came upon, and what had them then. As long as the same objects had
// them, the references come out the same.
type used struct {
	names   []string
	digests []fleet.Digest
	// scopes is set when the namespaces of all objects mattered.
	scopes fleet.Digest
}

func (u *used) note(n *names, values []string, scoped bool) {
	for _, value := range values {
		if !slices.Contains(u.names, value) {
			u.names, u.digests = append(u.names, value), append(u.digests, n.digest(value))
		}
	}
	if scoped {
		u.scopes = n.scopesDigest
	}
}

// same reports whether the names mean in this build what they meant when they were used.
func (u *used) same(n *names) bool {
	for i, name := range u.names {
		if n.digest(name) != u.digests[i] {
			return false
		}
	}
	return u.scopes.IsZero() || u.scopes == n.scopesDigest
}

// refer puts the names that objects have now where the object refers to them by old ones.
func (n *names) refer(s *summary, object *resource.Resource) (*used, error) {
	if object.GetKind() == "RoleBinding" { // whose subjects kustomize reads even if there is nothing that it could refer to
		if _, err := resmap.New().SubsetThatCouldBeReferencedByResource(object); err != nil {
			return nil, doubtOf(err, "references: an error")
		}
	}
	u := &used{}
	original := s.original()
	all := defaultSpecs()
	for _, r := range all.references {
		for _, field := range r.fields {
			if !original.IsSelected(&field.Gvk) {
				continue
			}
			values, scoped, err := valuesAt(object.YNode(), all.paths[field.Path])
			if err != nil {
				return nil, err
			}
			u.note(n, values, scoped)
			candidates, err := n.candidates(values, scoped)
			if err != nil {
				return nil, err
			}
			if candidates == nil {
				continue
			}
			if candidates, err = candidates.SubsetThatCouldBeReferencedByResource(object); err != nil {
				return nil, doubtOf(err, "references: an error")
			}
			err = object.ApplyFilter(nameref.Filter{
				Referrer: object, NameFieldToUpdate: field, ReferralTarget: r.to, ReferralCandidates: candidates,
			})
			if err != nil {
				return nil, doubtOf(err, "references: an error")
			}
		}
	}
	return u, nil
}
