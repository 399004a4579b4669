package engine

import (
	"strings"

	//lint:ignore SA1019 there is no other way to kustomize's own transformers and generators
	"sigs.k8s.io/kustomize/api/builtins"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/api/types"
)

// strategicMerge is the field patchesStrategicMerge.
func (t *linker) strategicMerge() error {
	//lint:ignore SA1019 what is deprecated still acts
	paths := t.k.PatchesStrategicMerge
	if len(paths) == 0 {
		return nil
	}
	const by = "PatchStrategicMergeTransformer"
	err := t.configure(by, builtins.NewPatchStrategicMergeTransformerPlugin(), struct {
		Paths []types.PatchStrategicMerge `json:"paths,omitempty"`
	}{paths})
	if err != nil {
		return err
	}
	var patches []*resource.Resource
	for _, path := range paths {
		// For kustomize it is a path unless it is a patch.
		more, err := t.build.factory.SliceFromBytes([]byte(path))
		if err != nil {
			more, err = t.build.factory.SliceFromPatches(t.helpers.Loader(), []types.PatchStrategicMerge{path})
		}
		if err != nil {
			return doubtOf(err, "%s: a patch that kustomize does not read", by)
		}
		patches = append(patches, more...)
	}
	var runs []func(o *one, f *facts) error
	for _, patch := range patches {
		n := t.mark(once)
		merge := t.mergeChecked()
		id := patch.OrgId()
		runs = append(runs, func(o *one, f *facts) error {
			f.marks[n] = o.is(id)
			return merge(o, f, f.marks[n], patch)
		})
	}
	t.add(by, func(o *one, f *facts) error {
		for _, run := range runs {
			if err := run(o, f); err != nil || o.gone() {
				return err
			}
		}
		return nil
	})
	return nil
}

// mergeChecked merges a patch into the object if it is selected. Kustomize remembers what is selected by its id, and
// wants all ids to differ afterwards, so they must differ before.
func (t *linker) mergeChecked() func(o *one, f *facts, selected bool, patch *resource.Resource) error {
	before, after := t.check(), t.check()
	return func(o *one, f *facts, selected bool, patch *resource.Resource) error {
		before(o, f)
		if selected {
			if err := o.ApplySmPatch(resource.MakeIdSet([]*resource.Resource{o.object}), patch); err != nil {
				return err
			}
		}
		after(o, f)
		return nil
	}
}

// patches is the field of that name.
func (t *linker) patches() error {
	const by = "PatchTransformer"
	for _, patch := range t.k.Patches {
		plugin := builtins.NewPatchTransformerPlugin()
		if err := t.configure(by, plugin, struct {
			Path    string           `json:"path,omitempty"`
			Patch   string           `json:"patch,omitempty"`
			Target  *types.Selector  `json:"target,omitempty"`
			Options *types.PatchArgs `json:"options,omitempty"`
		}{patch.Path, patch.Patch, patch.Target, patch.Options}); err != nil {
			return err
		}
		if err := t.compile(by, patch.Target); err != nil {
			return err
		}
		text := strings.TrimSpace(patch.Patch)
		if text == "" {
			loaded, err := t.helpers.Loader().Load(patch.Path)
			if err != nil {
				return doubtOf(err, "%s: a patch that is not there", by)
			}
			text = string(loaded)
		}
		merges, err := t.build.factory.SliceFromBytes([]byte(text))
		switch {
		case err != nil: // then it is a JSON patch, or the configuration would have been refused
			if patch.Target == nil {
				return doubt("%s: a JSON patch without target", by)
			}
			t.add(by, func(o *one, _ *facts) error { return plugin.Transform(o) })
		case len(merges) == 0:
			t.add(by, func(*one, *facts) error { return nil })
		case patch.Target == nil:
			t.mergeOnce(by, merges, patch.Options)
		case len(merges) > 1:
			return doubt("%s: several patches with one target", by)
		default:
			before, after := t.check(), t.check()
			t.add(by, func(o *one, f *facts) error {
				before(o, f)
				err := plugin.Transform(o)
				after(o, f)
				return err
			})
		}
	}
	return nil
}

// compile reads a target, which kustomize does even if there is no object that it could select.
func (t *linker) compile(by string, target *types.Selector) error {
	if target == nil {
		return nil
	}
	compiled, err := types.NewSelectorRegex(target)
	t.selectors[*target] = compiled
	return doubtOf(err, "%s: a target that kustomize refuses", by)
}

// mergeOnce merges each of the patches into the one object that has its name.
func (t *linker) mergeOnce(by string, patches []*resource.Resource, options *types.PatchArgs) {
	var runs []func(o *one, f *facts) error
	for _, patch := range patches {
		if options != nil && options.AllowNameChange {
			patch.AllowNameChange()
		}
		if options != nil && options.AllowKindChange {
			patch.AllowKindChange()
		}
		n, id := t.mark(once), patch.OrgId()
		runs = append(runs, func(o *one, f *facts) error {
			if f.marks[n] = o.is(id); !f.marks[n] {
				return nil
			}
			return o.object.ApplySmPatch(patch.DeepCopy()) // parts of the patch become parts of the object
		})
	}
	t.add(by, func(o *one, f *facts) error {
		for _, run := range runs {
			if err := run(o, f); err != nil || o.gone() {
				return err
			}
		}
		return nil
	})
}

// json6902 is the field patchesJson6902.
func (t *linker) json6902() error {
	//lint:ignore SA1019 what is deprecated still acts
	for _, patch := range t.k.PatchesJson6902 {
		if patch.Target == nil {
			return doubt("PatchJson6902Transformer: a patch without target")
		}
		if err := t.compile("PatchJson6902Transformer", patch.Target); err != nil {
			return err
		}
		err := t.each("PatchJson6902Transformer", builtins.NewPatchJson6902TransformerPlugin(), struct {
			Target *types.Selector `json:"target,omitempty"`
			Path   string          `json:"path,omitempty"`
			JSONOp string          `json:"jsonOp,omitempty"`
		}{patch.Target, patch.Path, patch.Patch})
		if err != nil {
			return err
		}
	}
	return nil
}
