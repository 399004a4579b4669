package engine

import (
	"encoding/json"

	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/resid"
	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"
	"sigs.k8s.io/yaml"

	"flotilla.dev/flotilla/pkg/fleet"
)

// replacement copies a value from one object into others.
type replacement struct {
	key fleet.Digest
	// written is the replacement: the filter fills in what is left out, so that each use has its own.
	written []byte
	source  *resid.ResId
	targets []target
}

type target struct {
	*types.TargetSelector
	ids *types.TargetSelectorRegex
}

const replacementBy = "ReplacementTransformer"

// replace is the field replacements.
func (t *linker) replace() error {
	if len(t.k.Replacements) == 0 {
		return nil
	}
	data, err := yaml.Marshal(struct{ Replacements []types.ReplacementField }{t.k.Replacements})
	var list struct {
		Replacements []types.ReplacementField `json:"replacements,omitempty"`
	}
	if err == nil {
		err = yaml.Unmarshal(data, &list)
	}
	if err != nil {
		return doubtOf(err, "%s: a configuration that kustomize refuses", replacementBy)
	}
	for _, field := range list.Replacements {
		all := []types.Replacement{field.Replacement}
		switch {
		case field.Path != "" && (field.Source != nil || len(field.Targets) > 0):
			return doubt("%s: both a path and what should be there", replacementBy)
		case field.Path != "":
			if all, err = t.readReplacements(field.Path); err != nil {
				return err
			}
		}
		for i := range all {
			r, err := newReplacement(&all[i])
			if err != nil {
				return err
			}
			t.replacements = append(t.replacements, r)
		}
	}
	return nil
}

// readReplacements reads a file that holds one replacement or a list.
func (t *linker) readReplacements(path string) ([]types.Replacement, error) {
	data, err := t.helpers.Loader().Load(path)
	var content any
	if err == nil {
		err = yaml.Unmarshal(data, &content)
	}
	var all []types.Replacement
	switch content.(type) {
	case []any:
		err = yaml.Unmarshal(data, &all)
	case map[string]any:
		all = make([]types.Replacement, 1)
		err = yaml.Unmarshal(data, &all[0])
	default:
		if err == nil {
			return nil, doubt("%s: a file that holds none", replacementBy)
		}
	}
	return all, doubtOf(err, "%s: a file that kustomize does not read", replacementBy)
}

func newReplacement(r *types.Replacement) (replacement, error) {
	if (r.SourceValue == nil) == (r.Source == nil) || r.Targets == nil {
		return replacement{}, doubt("%s: no source, two, or no targets", replacementBy)
	}
	written, err := json.Marshal(r)
	if err != nil {
		return replacement{}, doubtOf(err, "%s: one that cannot be written", replacementBy)
	}
	own := replacement{key: newKey("replacement").text(string(written)).sum(), written: written}
	if r.Source != nil {
		own.source = &r.Source.ResId
	}
	for _, t := range r.Targets {
		if t == nil || t.Select == nil {
			return replacement{}, doubt("%s: a target that selects nothing", replacementBy)
		}
		// Kustomize reads the selectors even if there is no object whose name is selected.
		for _, s := range append([]*types.Selector{t.Select}, t.Reject...) {
			if s == nil {
				return replacement{}, doubt("%s: an empty selector", replacementBy)
			}
			if _, err := matches(kyaml.NewMapRNode(nil), s); err != nil {
				return replacement{}, doubtOf(err, "%s: a selector that kustomize refuses", replacementBy)
			}
		}
		ids, err := types.NewTargetSelectorRegex(t)
		if err != nil {
			return replacement{}, doubtOf(err, "%s: a selector that kustomize refuses", replacementBy)
		}
		own.targets = append(own.targets, target{t, ids})
	}
	return own, nil
}
