package buildtest

import (
	"slices"
	"strings"
)

// object is one of a tree, as its file has it or as a generator names it.
type object struct {
	*kind
	label, namespace string // metadata.name and metadata.namespace
	body             fields
	generated        bool
	// twice is set when several have its id: patches cannot name it.
	twice bool
	// gone is set when a patch took it out.
	gone bool
}

func (o *object) group() string {
	if group, _, found := strings.Cut(o.apiVersion, "/"); found {
		return group
	}
	return ""
}

func (o *object) version() string { return o.apiVersion[strings.Index(o.apiVersion, "/")+1:] }

// head is what a patch of it begins with.
func (o *object) head() fields {
	meta := fields{"name": o.label}
	if o.namespace != "" {
		meta["namespace"] = o.namespace
	}
	return fields{"apiVersion": o.apiVersion, "kind": o.kind.name, "metadata": meta}
}

// at is the value at a path of the body: nil when there is none.
func (o *object) at(path string) any {
	var v any = o.body
	for segment := range strings.SplitSeq(path, "/") {
		m, isMap := v.(fields)
		if !isMap {
			return nil
		}
		v = m[segment]
	}
	return v
}

// containers are the names of its pods' containers.
func (o *object) containers() []string {
	if o.pods == "" || o.body == nil {
		return nil
	}
	list, _ := o.at(o.pods + "/containers").([]any)
	var names []string
	for _, c := range list {
		if c, isMap := c.(fields); isMap {
			name, _ := c["name"].(string)
			names = append(names, name)
		}
	}
	return names
}

var namespaces = []string{"", "team", "other", "default"}

// object makes a new one; others are those that it can refer to.
func (d *drawer) object(others []*object) *object {
	o := &object{kind: d.kind(), body: fields{}}
	d.identify(o)
	d.known = append(d.known, o)
	o.body = o.head()
	if d.chance(45) {
		d.put(o.body, "metadata/labels", d.pairs(3))
	}
	if d.chance(30) {
		d.put(o.body, "metadata/annotations", d.pairs(2))
	}
	if d.chance(6) {
		d.put(o.body, "metadata/annotations/"+d.pick(notes...), d.pick("true", "enabled", "1", "merge", "create", "{}"))
	}
	if d.plan.odd && d.chance(10) {
		d.put(o.body, "metadata/annotations/odd", d.text())
	}
	if d.chance(2) {
		d.put(o.body, "metadata/annotations/config.kubernetes.io\\/local-config", d.pick("true", "false", "yes"))
	}
	if o.fill != nil {
		o.fill(d, o)
	}
	d.refer(o, others)
	if d.plan.odd && d.chance(10) {
		d.put(o.body, "metadata/creationTimestamp", nil)
		d.put(o.body, "status", fields{})
	}
	return o
}

// notes are annotations that mean something to kustomize, or once did.
var notes = []string{
	`kustomize.config.k8s.io\/needs-hash`, `kustomize.config.k8s.io\/behavior`, `config.kubernetes.io\/index`, `config.kubernetes.io\/path`, `config.k8s.io\/id`, `internal.config.kubernetes.io\/path`,
	`internal.config.kubernetes.io\/needsHashSuffix`, `config.kubernetes.io\/origin`, `config.kubernetes.io\/merge-source`, `alpha.config.kubernetes.io\/transformations`, `kubectl.kubernetes.io\/last-applied-configuration`,
	`internal.config.kubernetes.io\/generatorBehavior`, `config.kubernetes.io\/depends-on`,
}

// identify gives the object a name that no other of its kind has, but in another namespace.
func (d *drawer) identify(o *object) {
	o.label = d.fresh(strings.ToLower(o.kind.name))
	if d.plan.scattered && !o.cluster {
		o.namespace = d.pick(namespaces...)
		if d.chance(50) {
			o.label = "same"
		}
	} else if !o.cluster && d.chance(10) {
		o.namespace = "team"
	}
	if d.chance(15) {
		o.label = d.pick("web", "settings") // as another of another kind
	}
	taken := func(p *object) bool {
		return p.kind.name == o.kind.name && p.group() == o.group() && p.label == o.label && (p.namespace == o.namespace || !d.plan.scattered || p.cluster)
	}
	for slices.ContainsFunc(d.known, taken) {
		o.label = d.fresh(strings.ToLower(o.kind.name))
	}
}
