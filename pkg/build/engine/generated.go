package engine

import (
	//lint:ignore SA1019 there is no other way to kustomize's own transformers and generators
	"sigs.k8s.io/kustomize/api/builtins"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/api/types"
)

// generated is the object of a generator.
type generated struct {
	generator
	from loader
	by   *resource.Origin
}

func (g generated) make(b *build, _ int) (*resource.Resource, error) {
	m, err := g.generate(b)
	if err != nil {
		return nil, err
	}
	if m.Size() != 1 {
		return nil, doubt("%s: not one object", g.kind)
	}
	return m.Resources()[0], nil
}

func (g generated) generate(b *build) (resmap.ResMap, error) {
	plugin := builtins.NewConfigMapGeneratorPlugin()
	if g.kind == "SecretGenerator" {
		plugin = builtins.NewSecretGeneratorPlugin()
	}
	if err := plugin.Config(b.helpers(g.from), g.config); err != nil {
		return nil, doubtOf(err, "%s: a configuration that kustomize refuses", g.kind)
	}
	m, err := plugin.Generate()
	if err == nil && m != nil {
		err = m.AddOriginAnnotation(g.by)
	}
	if err != nil || m == nil {
		return nil, doubt("%s: an error", g.kind)
	}
	return m, nil
}

// generate adds the object of a generator, or has it take the place of one that is there.
func (b *build) generate(objects []*object, g generator, from loader, at layer) ([]*object, error) {
	origin := at.transformer()
	made := generated{g, from, origin.by(g.kind)}
	key := newKey("generated").text(g.kind, string(g.config))
	for _, name := range g.files {
		file, err := from.open(name)
		if err != nil {
			return nil, err
		}
		key.digest(file.digest)
	}
	more := &object{key: join(key.sum(), origin.key()), from: made}
	if err := b.summarize(more); err != nil {
		return nil, err
	}
	var there *object
	for _, o := range objects {
		switch {
		case !o.is(more.id):
		case there != nil:
			return nil, doubt("%s: two objects of one name", g.kind)
		default:
			there = o
		}
	}
	if there == nil {
		if g.behavior == types.BehaviorMerge || g.behavior == types.BehaviorReplace {
			return nil, doubt("%s: nothing to merge or replace", g.kind)
		}
		return append(objects, more), nil
	}
	if err := b.act(there, newKey("absorbed").digest(there.key, more.key).sum(), there.past.then(absorb{made})); err != nil {
		return nil, err
	}
	for _, o := range objects {
		if o != there && o.hash == there.hash {
			return nil, doubt("%s: two objects of one name", g.kind)
		}
	}
	return objects, nil
}

// absorb has a generated object merge with, or replace, the one that is there.
type absorb struct{ generated }

func (a absorb) do(b *build, tree *resource.Resource) (*resource.Resource, *facts, error) {
	more, err := a.generate(b)
	if err != nil {
		return nil, nil, err
	}
	m := resmap.New()
	if err := m.Append(tree); err != nil {
		return nil, nil, doubtOf(err, "an object that cannot be added")
	}
	if err := m.AbsorbAll(more); err != nil {
		return nil, nil, doubtOf(err, "%s: an error", a.kind)
	}
	return m.Resources()[0], nil, nil
}
