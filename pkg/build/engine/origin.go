package engine

import (
	"path/filepath"

	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/kyaml/yaml"

	"flotilla.dev/flotilla/pkg/fleet"
)

// origin says which kustomization file transforms or generates, in the annotations that a build may ask for.
type origin struct{ resource.Origin }

// transformer is the origin of the layer's transformers, without the name of one; nil if it is not asked for.
func (l layer) transformer() *origin {
	if l.origin == nil {
		return nil
	}
	return &origin{resource.Origin{Repo: l.origin.Repo, Ref: l.origin.Ref, ConfiguredIn: filepath.Join(l.origin.Path, l.file)}}
}

func (o *origin) key() fleet.Digest {
	if o == nil {
		return fleet.Digest{}
	}
	return newKey("origin").text(o.ConfiguredIn).sum()
}

// by is the origin with the name of a builtin.
func (o *origin) by(kind string) *resource.Origin {
	if o == nil {
		return nil
	}
	with := o.Origin
	with.ConfiguredBy = yaml.ResourceIdentifier{TypeMeta: yaml.TypeMeta{APIVersion: "builtin", Kind: kind}}
	return &with
}

// transformed notes at the object that a builtin transformed it.
func (o *origin) transformed(m *one, kind string) error {
	if o == nil {
		return nil
	}
	if err := m.AddTransformerAnnotation(o.by(kind)); err != nil {
		return doubtOf(err, "%s: an annotation that cannot be written", kind)
	}
	return nil
}
