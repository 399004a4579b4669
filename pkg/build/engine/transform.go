package engine

import (
	//lint:ignore SA1019 there is no other way to kustomize's own transformers and generators
	"sigs.k8s.io/kustomize/api/builtins"
	"sigs.k8s.io/kustomize/api/filters/annotations"
	"sigs.k8s.io/kustomize/api/filters/labels"
	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/kio"
	"sigs.k8s.io/kustomize/kyaml/resid"
)

// each adds a builtin that works on objects one by one.
func (t *linker) each(by string, plugin resmap.TransformerPlugin, config any) error {
	t.add(by, func(o *one, _ *facts) error { return plugin.Transform(o) })
	return t.configure(by, plugin, config)
}

func (t *linker) namespace() error {
	if t.k.Namespace == "" {
		return nil
	}
	const by = "NamespaceTransformer"
	var config struct {
		types.ObjectMeta `json:"metadata,omitempty"`
		FieldSpecs       []types.FieldSpec
	}
	config.Namespace, config.FieldSpecs = t.k.Namespace, t.specs.lists["namespace"]
	plugin, check := builtins.NewNamespaceTransformerPlugin(), t.check()
	t.add(by, func(o *one, f *facts) error {
		if o.object.GetAnnotations(konfig.HelmGeneratedAnnotation)[konfig.HelmGeneratedAnnotation] == "true" {
			return doubt("%s: an object that says it is of a chart, and is left out", by)
		}
		// Kustomize compares the id after every object with those of all others. All are in one namespace at the end, so
		// that who collides with another on the way collides with it at the end too.
		err := plugin.Transform(o)
		check(o, f)
		return err
	})
	return t.configure(by, plugin, config)
}

func (t *linker) prefix() error {
	if t.k.NamePrefix == "" {
		return nil
	}
	return t.each("PrefixTransformer", builtins.NewPrefixTransformerPlugin(), struct {
		Prefix     string            `json:"prefix,omitempty"`
		FieldSpecs []types.FieldSpec `json:"fieldSpecs,omitempty"`
	}{t.k.NamePrefix, t.specs.lists["namePrefix"]})
}

func (t *linker) suffix() error {
	if t.k.NameSuffix == "" {
		return nil
	}
	return t.each("SuffixTransformer", builtins.NewSuffixTransformerPlugin(), struct {
		Suffix     string            `json:"suffix,omitempty"`
		FieldSpecs []types.FieldSpec `json:"fieldSpecs,omitempty"`
	}{t.k.NameSuffix, t.specs.lists["nameSuffix"]})
}

func (t *linker) labels() error {
	//lint:ignore SA1019 what is deprecated still acts
	common := t.k.CommonLabels
	if len(t.k.Labels) == 0 && len(common) == 0 {
		return nil
	}
	for _, label := range t.k.Labels {
		fields, err := types.FsSlice(label.FieldSpecs).MergeAll(t.specs.lists["labels"])
		merge := func(more types.FsSlice) {
			if err == nil {
				fields, err = fields.MergeAll(more)
			}
		}
		switch {
		case label.IncludeSelectors:
			merge(t.specs.lists["commonLabels"])
		default:
			if label.IncludeTemplates {
				merge(t.specs.lists["templateLabels"])
			}
			if label.IncludeVolumeClaimTemplates {
				merge(t.specs.lists["volumeClaimTemplateLabels"])
			}
			merge(types.FsSlice{{Path: "metadata/labels", CreateIfNotPresent: true}})
		}
		if err != nil {
			return doubtOf(err, "labels whose fields contradict each other")
		}
		if err := t.label(label.Pairs, fields, len(label.FieldSpecs) > 0); err != nil {
			return err
		}
	}
	return t.label(common, t.specs.lists["commonLabels"], false)
}

func (t *linker) label(pairs map[string]string, fields types.FsSlice, own bool) error {
	const by = "LabelTransformer"
	plugin := &builtins.LabelTransformerPlugin{}
	if err := t.configure(by, plugin, struct {
		Labels     map[string]string
		FieldSpecs []types.FieldSpec
	}{pairs, fields}); err != nil {
		return err
	}
	places := placesOf(plugin.FieldSpecs, own)
	t.add(by, func(o *one, _ *facts) error {
		if len(plugin.Labels) == 0 {
			return nil
		}
		return o.filter(labels.Filter{Labels: plugin.Labels, FsSlice: places.of(o.object)})
	})
	return nil
}

func (t *linker) annotations() error {
	if len(t.k.CommonAnnotations) == 0 {
		return nil
	}
	const by = "AnnotationsTransformer"
	plugin := &builtins.AnnotationsTransformerPlugin{}
	if err := t.configure(by, plugin, struct {
		Annotations map[string]string
		FieldSpecs  []types.FieldSpec
	}{t.k.CommonAnnotations, t.specs.lists["commonAnnotations"]}); err != nil {
		return err
	}
	places := placesOf(plugin.FieldSpecs, false)
	t.add(by, func(o *one, _ *facts) error {
		return o.filter(annotations.Filter{Annotations: plugin.Annotations, FsSlice: places.of(o.object)})
	})
	return nil
}

func (t *linker) replicas() error {
	for _, replica := range t.k.Replicas {
		const by = "ReplicaCountTransformer"
		plugin := &builtins.ReplicaCountTransformerPlugin{}
		if err := t.configure(by, plugin, struct {
			Replica    types.Replica
			FieldSpecs []types.FieldSpec
		}{replica, t.specs.lists["replicas"]}); err != nil {
			return err
		}
		n := t.mark(some)
		t.add(by, func(o *one, f *facts) error {
			for _, field := range plugin.FieldSpecs {
				f.marks[n] = f.marks[n] || len(o.GetMatchingResourcesByAnyId(func(id resid.ResId) bool {
					return id.Name == plugin.Replica.Name && id.IsSelected(&field.Gvk)
				})) > 0
			}
			if !f.marks[n] { // which alone is an error
				return nil
			}
			return plugin.Transform(o)
		})
	}
	return nil
}

// filter applies the filter as a resource map does.
func (o *one) filter(f kio.Filter) error { return o.ResMap.ApplyFilter(f) }

// places are field specs, by the kinds of objects that have such fields.
type places struct {
	all types.FsSlice
	// own are given by a kustomization file: they may lead to what says which object it is.
	own bool
	// of kinds that are named, and of all others.
	named  map[string]types.FsSlice
	others types.FsSlice
}

func placesOf(all types.FsSlice, own bool) *places {
	p := &places{all: all, own: own, named: map[string]types.FsSlice{}}
	for _, spec := range all {
		p.named[spec.Kind] = nil
	}
	for _, spec := range all {
		if spec.Kind == "" {
			p.others = append(p.others, spec)
		}
		for kind := range p.named {
			if spec.Kind == "" || spec.Kind == kind {
				p.named[kind] = append(p.named[kind], spec)
			}
		}
	}
	return p
}

func (p *places) of(object *resource.Resource) types.FsSlice {
	if p.own {
		return p.all
	}
	kind := object.GetKind()
	candidates, named := p.named[kind]
	if !named {
		candidates = p.others
	}
	group, version := resid.ParseGroupVersion(object.GetApiVersion())
	id := resid.Gvk{Group: group, Version: version, Kind: kind}
	found := types.FsSlice{}
	for _, spec := range candidates {
		if id.IsSelected(&spec.Gvk) {
			found = append(found, spec)
		}
	}
	return found
}
