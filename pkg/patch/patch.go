// Package patch changes single objects by kustomize's patches: those of a Placement for one cluster.
//
// Which objects a patch is for, and what it does to them, is kustomize's to say. An object that no patch is for is not
// looked at twice: its reference tells most of it.
package patch

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"sigs.k8s.io/kustomize/api/builtins"
	"sigs.k8s.io/kustomize/api/provider"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/resid"
	"sigs.k8s.io/yaml"

	"flotilla.dev/flotilla/pkg/fleet"
)

// patching is held while kustomize works: it keeps the schema of Kubernetes in a global.
var patching sync.Mutex

// Set is a list of patches, in the order in which they are applied.
type Set struct{ patches []patch }

type patch struct {
	// target chooses objects; of a strategic merge patch without one, what it names itself does.
	target *types.SelectorRegex
	// labels and annotations of the target.
	labels, annotations string
	merges              []*resource.Resource
	transformer         *builtins.PatchTransformerPlugin // with a target
}

var (
	resources = provider.NewDefaultDepProvider().GetResourceFactory()
	helpers   = resmap.NewPluginHelpers(nil, nil, resmap.NewFactory(resources), nil)
)

// Parse reads patches. Its error wraps fleet.ErrInvalid and names the patch by its place in the list, from 0, without
// showing it.
func Parse(patches []fleet.Patch) (*Set, error) {
	patching.Lock()
	defer patching.Unlock()
	set := &Set{}
	for i, p := range patches {
		parsed, err := parse(p)
		if err != nil {
			return nil, fmt.Errorf("%w: patches[%d]: %w", fleet.ErrInvalid, i, err)
		}
		set.patches = append(set.patches, parsed)
	}
	return set, nil
}

// Check refuses the patches of a Placement that are none, by their fields.
func Check(p fleet.Placement) error {
	patching.Lock()
	defer patching.Unlock()
	var fields fleet.Fields
	for i, o := range p.Overrides {
		for j, patch := range o.Patches {
			if _, err := parse(patch); err != nil {
				fields.Refuse(fmt.Sprintf("spec.overrides[%d].patches[%d]", i, j), "%s", err)
			}
		}
	}
	return fields.Err()
}

func parse(p fleet.Patch) (parsed patch, err error) {
	defer refusePanic(&err)
	text := strings.TrimSpace(p.Patch)
	if p.Target == nil {
		parsed.merges, err = resources.SliceFromBytes([]byte(text))
		if err != nil || len(parsed.merges) == 0 {
			return parsed, errors.New("it is not a strategic merge patch that names its object; any other patch needs a target")
		}
		return parsed, nil
	}
	t := p.Target
	selector := types.Selector{ResId: resid.NewResIdWithNamespace(resid.NewGvk(t.Group, t.Version, t.Kind), t.Name, t.Namespace)}
	if parsed.target, err = types.NewSelectorRegex(&selector); err != nil {
		return parsed, fmt.Errorf("target: %w", err)
	}
	parsed.labels, parsed.annotations = t.LabelSelector, t.AnnotationSelector
	probe, err := resources.FromMap(map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "probe"}})
	if err != nil {
		return parsed, err
	}
	if _, err := parsed.selects(probe); err != nil {
		return parsed, fmt.Errorf("target: %w", err)
	}
	parsed.transformer = &builtins.PatchTransformerPlugin{}
	if err := parsed.transformer.Config(helpers, config(text)); err != nil {
		return parsed, errors.New("it is neither a strategic merge patch nor a JSON 6902 patch")
	}
	return parsed, checkOperations(text)
}

// checkOperations refuses, of a JSON 6902 patch, what kustomize notices only once there is an object for it.
func checkOperations(text string) error {
	var operations []struct{ Op, Path, From string }
	if yaml.Unmarshal([]byte(text), &operations) != nil {
		return nil // a strategic merge patch
	}
	for i, o := range operations {
		switch o.Op {
		case "add", "remove", "replace", "test", "move", "copy":
		default:
			return fmt.Errorf("operation %d: op is not add, remove, replace, test, move or copy", i)
		}
		if moves := o.Op == "move" || o.Op == "copy"; o.Path != "" && o.Path[0] != '/' || moves && (o.From == "" || o.From[0] != '/') {
			return fmt.Errorf("operation %d: path, or from, is not a JSON pointer such as /spec/replicas", i)
		}
	}
	return nil
}

// config is what kustomize's transformer is told: to patch whatever there is.
func config(text string) []byte {
	data, err := yaml.Marshal(map[string]any{"patch": text, "target": map[string]any{}})
	if err != nil {
		panic(fmt.Sprintf("encode patch: %v", err)) // strings always encode
	}
	return data
}

// May reports whether a patch may be for the object, as far as its reference tells.
func (s *Set) May(ref fleet.ObjectRef) bool {
	return slices.ContainsFunc(s.patches, func(p patch) bool {
		id := resid.NewResIdWithNamespace(resid.NewGvk(ref.Group, ref.Version, ref.Kind), ref.Name, ref.Namespace)
		return p.names(id)
	})
}

// names reports whether the patch is for an object of that id, labels and annotations aside.
func (p patch) names(id resid.ResId) bool {
	if p.target == nil {
		return slices.ContainsFunc(p.merges, func(m *resource.Resource) bool { return m.OrgId().Equals(id) })
	}
	return p.target.MatchNamespace(id.EffectiveNamespace()) && p.target.MatchName(id.Name) && p.target.MatchGvk(id.Gvk)
}

func (p patch) selects(object *resource.Resource) (bool, error) {
	matched, err := object.MatchesLabelSelector(p.labels)
	if err != nil || !matched {
		return false, err
	}
	return object.MatchesAnnotationSelector(p.annotations)
}

// Apply returns the document of an object, as kustomize prints it, after the patches that are for it; changed is false,
// and the document as it was, when none is. Targets look at the object's labels and annotations with the common metadata,
// which may be nil, on top. A patch that would make another object of it, or none, is refused. Errors wrap
// fleet.ErrInvalid, name the patch by its place, and show nothing of the object.
func (s *Set) Apply(document []byte, common *fleet.CommonMetadata) (patched []byte, changed bool, err error) {
	patching.Lock()
	defer patching.Unlock()
	defer refusePanic(&err)
	object, err := resources.FromBytes(document)
	if err != nil {
		return nil, false, fmt.Errorf("%w: kustomize does not take the object for one", fleet.ErrInvalid)
	}
	id := object.CurId()
	for i, p := range s.patches {
		chosen := p.names(id)
		if chosen && p.target != nil && p.labels+p.annotations != "" {
			chosen, err = p.selects(dressed(object, common))
		}
		if err == nil && chosen {
			changed = true
			err = p.apply(object)
		}
		if err != nil {
			return nil, false, fmt.Errorf("%w: patches[%d]: %w", fleet.ErrInvalid, i, err)
		}
		switch {
		case object.IsNilOrEmpty():
			return nil, false, fmt.Errorf("%w: patches[%d] deletes the object, which a patch of a Placement may not; place what not every cluster has with an App of its own", fleet.ErrInvalid, i)
		case object.CurId() != id:
			return nil, false, fmt.Errorf("%w: patches[%d] changes the kind, namespace or name of the object, which a patch of a Placement may not", fleet.ErrInvalid, i)
		}
	}
	if !changed {
		return document, false, nil
	}
	if patched, err = object.AsYAML(); err != nil {
		return nil, false, fmt.Errorf("%w: the object cannot be printed after its patches", fleet.ErrInvalid)
	}
	return patched, true, nil
}

// errFails is all that is told of kustomize's reason: it may hold parts of the object.
var errFails = errors.New("it cannot be applied to the object: is there a field that it tests, removes or replaces?")

func (p patch) apply(object *resource.Resource) error {
	if p.target == nil {
		for _, merge := range p.merges {
			if !merge.OrgId().Equals(object.CurId()) {
				continue
			}
			if err := object.ApplySmPatch(merge.DeepCopy()); err != nil {
				return errFails
			}
			if object.IsNilOrEmpty() {
				return nil
			}
		}
		return nil
	}
	all := resmap.New()
	if err := all.Append(object); err != nil {
		return errFails
	}
	if err := p.transformer.Transform(all); err != nil {
		return errFails
	}
	if all.Size() == 0 {
		object.RNode.SetYNode(nil) // the patch deleted it
	}
	return nil
}

// dressed is the object with the common metadata on it.
func dressed(object *resource.Resource, common *fleet.CommonMetadata) *resource.Resource {
	if common == nil {
		return object
	}
	look := object.DeepCopy()
	labels, annotations := look.GetLabels(), look.GetAnnotations()
	for key, value := range common.Labels {
		labels[key] = value
	}
	for key, value := range common.Annotations {
		annotations[key] = value
	}
	_ = look.SetLabels(labels) // a map of strings is always taken
	_ = look.SetAnnotations(annotations)
	return look
}

// refusePanic makes an error of a panic: kustomize panics on some invalid objects.
func refusePanic(err *error) {
	if recover() != nil {
		*err = errors.New("kustomize cannot make sense of it")
	}
}
