package deploy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/manifest"
	"flotilla.dev/flotilla/pkg/patch"
	"flotilla.dev/flotilla/pkg/subst"
	"flotilla.dev/flotilla/spoke/apply"
	"flotilla.dev/flotilla/spoke/decrypt"
	"flotilla.dev/flotilla/spoke/reference"
)

// inputs are all that an App's objects are made of in this cluster, besides the Manifest. They are not changed once they
// are made: a correction uses those with which the object was applied, whatever holds by now.
type inputs struct {
	digest fleet.Digest
	// substitutes says that variables are put into objects at all.
	substitutes bool
	variables   subst.Variables
	patches     *patch.Set // nil: none
	common      *fleet.CommonMetadata
	keys        *decrypt.Keys // nil: nothing is to be decrypted
	built       *built        // nil: the Manifest has the objects

	// known has what was made of blobs, for passes.
	known map[fleet.Digest]material
}

// gather reads what the App's objects are made of; nil: of the Manifest alone. Unchanged inputs are those of the pass
// before, with what it made of them. What is read is watched from then on, there or not.
func (e *Engine) gather(ctx context.Context, a *app, t Target) (*inputs, error) {
	if !needsInputs(t) {
		a.inputs = nil
		e.refer(a, nil)
		return nil, nil
	}
	in := &inputs{common: t.Release.CommonMetadata, variables: subst.Variables{}}
	var read []reference.Reading
	defer func() { e.refer(a, read) }()
	if post := t.Release.PostBuild; post != nil {
		layers := e.layers(ctx, t, &read)
		if err := fill(in.variables, layers); err != nil {
			return nil, err
		}
		in.substitutes = substitutes(*post, layers)
	}
	if len(t.Binding.Patches) > 0 {
		var err error
		if in.patches, err = patch.Parse(t.Binding.Patches); err != nil {
			return nil, fmt.Errorf("the Placement's overrides: %w", err)
		}
	}
	keys, err := e.readKeys(ctx, t, &read)
	if err != nil {
		return nil, err
	}
	in.digest = in.name(t, keys)
	if a.inputs != nil && a.inputs.digest == in.digest {
		return a.inputs, nil
	}
	if keys != nil {
		if in.keys, err = keys.parse(); err != nil {
			return nil, err
		}
	}
	if subtree := t.Manifest.Build(); !subtree.IsZero() {
		if in.built, err = e.build(ctx, t, subtree, in.keys, a.blob); err != nil {
			return nil, err
		}
	}
	a.inputs = in
	return in, nil
}

func needsInputs(t Target) bool {
	switch {
	case len(t.Manifest.Entries) == 0:
		return false
	case t.Release.PostBuild != nil, len(t.Binding.Patches) > 0:
		return true
	}
	for _, entry := range t.Manifest.Entries {
		if entry.IsText() || entry.Part {
			return true
		}
	}
	return false
}

// name is the digest of the inputs.
func (in *inputs) name(t Target, keys *keyData) fleet.Digest {
	data, err := json.Marshal(struct {
		Substitutes bool
		Variables   fleet.Digest
		Patches     []fleet.Patch
		Common      *fleet.CommonMetadata
		Keys        *fleet.Digest
		Build       fleet.Digest
		Options     manifest.Options
	}{in.substitutes, in.variables.Digest(), t.Binding.Patches, in.common, keys.digest(), t.Manifest.Build(), manifest.OptionsOf(t.Release.ReleaseSpec)})
	if err != nil {
		panic(fmt.Sprintf("encode inputs: %v", err)) // strings and digests always encode
	}
	return fleet.DigestOf(data)
}

// refer says what an App has read, whose changes call for a pass of it.
func (e *Engine) refer(a *app, read []reference.Reading) {
	if !a.aside {
		e.references.Set(a.key, read)
	}
}

// fill fills in the variables of an App with postBuild.
func fill(variables subst.Variables, layers []layer) error {
	for _, l := range layers {
		if l.err != nil {
			return l.err
		}
		for name, value := range l.values {
			variables.Set(name, l.variable(name, value))
		}
	}
	return variables.Check()
}

// substitutes reports whether variables are put into objects: without any of the App's own, Flux would substitute nothing
// unless it is told to always, and what a cluster has beside must not change that. What cannot be read counts as some.
func substitutes(post fleet.PostBuild, layers []layer) bool {
	own := func(l layer) bool { return l.err != nil || len(l.values) > 0 }
	return post.SubstituteStrategy == fleet.SubstituteAlways || slices.ContainsFunc(layers[1:], own) // the first is the cluster's
}

// layer is where variables come from.
type layer struct {
	// ref is the ConfigMap or Secret; else from says what it is.
	ref    fleet.ObjectRef
	from   string
	values map[string]string
	// err says why they cannot be read.
	err error
}

func (l layer) variable(name, value string) subst.Variable {
	if l.from != "" {
		return subst.Variable{Value: value, From: l.from}
	}
	return subst.Variable{Value: value, From: l.ref.String() + " key " + name, Secret: isSecret(l.ref)}
}

// layers are all of which an App with postBuild has variables, the lowest precedence first: the cluster, then what is the
// App's own.
func (e *Engine) layers(ctx context.Context, t Target, read *[]reference.Reading) []layer {
	layers := []layer{{from: "the cluster's variables", values: t.Binding.Variables}}
	for i, from := range t.Release.PostBuild.SubstituteFrom {
		l := layer{ref: fleet.ObjectRef{Version: "v1", Kind: from.Kind, Namespace: t.App.Namespace, Name: from.Name}}
		values, version, err := e.readData(ctx, l.ref)
		absent := errors.Is(err, fleet.ErrNotFound)
		if err == nil || absent {
			*read = append(*read, reference.Reading{Ref: l.ref, Version: version})
		}
		switch {
		case absent && from.Optional:
		case absent:
			l.err = fmt.Errorf("spec.postBuild.substituteFrom[%d]: %s is not there: create it, or say that it is optional: %w", i, l.ref, fleet.ErrNotFound)
		case err != nil:
			l.err = fmt.Errorf("spec.postBuild.substituteFrom[%d]: %w", i, err)
		default:
			l.values = values
		}
		layers = append(layers, l)
	}
	return append(layers, layer{from: "spec.postBuild.substitute", values: t.Release.PostBuild.Substitute})
}

// readData returns what a ConfigMap or Secret holds, and its version. As in Flux it is read by the spoke itself, not by
// the account that an App's objects are applied with.
func (e *Engine) readData(ctx context.Context, ref fleet.ObjectRef) (values map[string]string, version string, err error) {
	if !isSecret(ref) {
		object, err := e.client.ConfigMaps(ref.Namespace).Get(ctx, ref.Name, metav1.GetOptions{})
		if err != nil {
			return nil, "", apply.Explain(ref, "get", err)
		}
		return object.Data, object.ResourceVersion, nil
	}
	object, err := e.client.Secrets(ref.Namespace).Get(ctx, ref.Name, metav1.GetOptions{})
	if err != nil {
		return nil, "", apply.Explain(ref, "get", err)
	}
	values = make(map[string]string, len(object.Data))
	for name, value := range object.Data {
		values[name] = string(value)
	}
	return values, object.ResourceVersion, nil
}
