package engine

import (
	"slices"

	//lint:ignore SA1019 there is no other way to kustomize's own transformers and generators
	"sigs.k8s.io/kustomize/api/builtins"
	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/provenance"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/api/types"
	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"

	"flotilla.dev/flotilla/pkg/build/encode"
	"flotilla.dev/flotilla/pkg/fleet"
)

// finish does what comes once, at the end: hashes behind names, references, the order, and the documents.
func (b *build) finish(objects []*object, order *types.SortOptions) ([][]byte, error) {
	hashed := newKey("hash").sum()
	for _, o := range objects {
		if o.needsHash {
			if err := b.act(o, join(o.key, hashed), o.past.then(addHash{})); err != nil {
				return nil, err
			}
		}
	}
	if err := b.distinct(objects); err != nil {
		return nil, err
	}
	n := newNames(objects)
	key := newKey("printed").text(b.metadata...).sum()
	all := make([]*printed, 0, len(objects))
	for _, o := range objects {
		p, err := b.print(o, join(o.key, key), n)
		if err != nil {
			return nil, err
		}
		if !p.local {
			all = append(all, p)
		}
	}
	if err := sortPrinted(all, order); err != nil {
		return nil, err
	}
	documents := make([][]byte, len(all))
	for i, p := range all {
		documents[i] = p.document
	}
	return documents, nil
}

// addHash puts the hash of a generated object behind its name.
type addHash struct{}

func (addHash) do(b *build, tree *resource.Resource) (*resource.Resource, *facts, error) {
	o, err := newOne(tree, nil)
	if err != nil {
		return nil, nil, err
	}
	plugin := builtins.NewHashTransformerPlugin()
	if err := plugin.Config(b.helpers(loader{}), nil); err != nil {
		return nil, nil, doubtOf(err, "HashTransformer: an error")
	}
	return tree, nil, doubtOf(plugin.Transform(o), "HashTransformer: an error")
}

// printed is an object at the end of a build.
type printed struct {
	used     *used
	rank     rank
	local    bool
	document []byte
}

// print returns the object's document: that of an earlier build if what it refers to is still called the same.
func (b *build) print(o *object, key fleet.Digest, n *names) (*printed, error) {
	if known, is := cached[*printed](b.cache, key); is && known.used.same(n) {
		return known, nil
	}
	tree, _, err := b.look(o)
	if err != nil {
		return nil, err
	}
	if err := regular(tree); err != nil {
		return nil, err
	}
	p := &printed{rank: rankOf(o.id)}
	if p.used, err = n.refer(o.summary, tree); err != nil {
		return nil, err
	}
	meta, err := tree.GetValidatedMetadata()
	if err != nil {
		return nil, doubtOf(err, "an object without name or kind")
	}
	local, is := meta.Annotations[konfig.IgnoredByKustomizeAnnotation]
	p.local = is && local != "false"
	if !p.local {
		if p.document, err = b.document(tree); err != nil {
			return nil, err
		}
	}
	o.tree = nil
	size := 300 + len(p.document) + len(p.rank.kind) + len(p.rank.id)
	for _, name := range p.used.names {
		size += 48 + len(name)
	}
	b.cache.keep(key, p, int64(size))
	return p, nil
}

// document prints an object without kustomize's notes.
func (b *build) document(tree *resource.Resource) ([]byte, error) {
	if err := b.clean(tree); err != nil {
		return nil, err
	}
	if text, sure := encode.Document(&tree.RNode); sure {
		return text, nil
	}
	text, err := tree.AsYAML()
	return text, doubtOf(err, "an object that cannot be printed")
}

// regular wants the object to say what it is in the usual form, so that all ways of reading it agree.
func regular(tree *resource.Resource) error {
	meta, err := tree.GetMeta()
	id := tree.CurId()
	if err != nil || meta.APIVersion != id.ApiVersion() || meta.Kind != id.Kind || meta.Name != id.Name || meta.Namespace != id.Namespace {
		return doubt("an object that does not say clearly what it is")
	}
	metadata := fieldOf(tree.YNode(), kyaml.MetadataField)
	if metadata == nil || metadata.Kind != kyaml.MappingNode {
		return doubt("an object with odd metadata")
	}
	for _, noted := range tree.GetAnnotations(previousNames, previousNamespaces, previousKinds, namePrefixes, nameSuffixes) {
		if noted == "" { // kustomize notes nothing empty; it is in a file
			return doubt("an object with notes that are not kustomize's")
		}
	}
	return nil
}

// clean removes kustomize's own notes, and adds what the kustomization file at the top asks for.
func (b *build) clean(tree *resource.Resource) error {
	if slices.Contains(b.metadata, types.ManagedByLabelOption) {
		o, err := newOne(tree, nil)
		if err != nil {
			return err
		}
		label := builtins.LabelTransformerPlugin{
			Labels:     map[string]string{konfig.ManagedbyLabelKey: "kustomize-" + provenance.GetProvenance().Semver()},
			FieldSpecs: []types.FieldSpec{{Path: "metadata/labels", CreateIfNotPresent: true}},
		}
		if err := label.Transform(o); err != nil {
			return doubtOf(err, "LabelTransformer: an error")
		}
	}
	tree.RemoveBuildAnnotations()
	if !slices.Contains(b.metadata, types.OriginAnnotations) {
		if err := tree.SetOrigin(nil); err != nil {
			return doubtOf(err, "an origin that cannot be removed")
		}
	}
	if !slices.Contains(b.metadata, types.TransformerAnnotations) {
		if err := tree.ClearTransformations(); err != nil {
			return doubtOf(err, "an annotation that cannot be removed")
		}
	}
	return nil
}
