// Package patch changes single objects by kustomize's patches: those of a Placement for one cluster.
//
// Which objects a patch is for, and what it does to them, is kustomize's to say. An object that no patch is for is not
// looked at twice: its reference tells most of it.
package patch

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"sigs.k8s.io/kustomize/api/filters/patchjson6902"
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
	// target chooses objects; a strategic merge patch without one is for what it names itself.
	target *types.SelectorRegex
	// labels and annotations of the target.
	labels, annotations string
	// merges are strategic merge patches, with a target one; operations are a JSON 6902 patch.
	merges     []*resource.Resource
	operations string
}

var resources = provider.NewDefaultDepProvider().GetResourceFactory()

// Parse reads patches. Its error wraps fleet.ErrInvalid and names the patch by its number in the list, from 1,
// without showing it.
func Parse(patches []fleet.Patch) (*Set, error) {
	patching.Lock()
	defer patching.Unlock()
	set := &Set{}
	for i, p := range patches {
		parsed, err := parse(p)
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", fleet.ErrInvalid, numbered(i, len(patches)), err)
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
	if merges, err := resources.SliceFromBytes([]byte(text)); err == nil {
		parsed.merges = merges
	}
	if p.Target == nil {
		if len(parsed.merges) == 0 {
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
	_, err1 := probe.MatchesLabelSelector(t.LabelSelector)
	_, err2 := probe.MatchesAnnotationSelector(t.AnnotationSelector)
	if err := cmp.Or(err1, err2); err != nil {
		return parsed, fmt.Errorf("target: %w", err)
	}
	switch {
	case len(parsed.merges) == 1:
		return parsed, nil
	case len(parsed.merges) > 1:
		return parsed, errors.New("several strategic merge patches cannot have one target")
	}
	parsed.operations = text
	return parsed, checkOperations(text)
}

// checkOperations refuses what is no JSON 6902 patch. Kustomize would notice some of it only once there is an object.
func checkOperations(text string) error {
	var operations []struct{ Op, Path, From string }
	if yaml.Unmarshal([]byte(text), &operations) != nil || len(operations) == 0 {
		return errors.New("it is neither a strategic merge patch nor a JSON 6902 patch")
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
// fleet.ErrInvalid, name the patch by its number, and show nothing of the object.
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
			return nil, false, fmt.Errorf("%w: %s: %w", fleet.ErrInvalid, numbered(i, len(s.patches)), err)
		}
		switch {
		case object.IsNilOrEmpty():
			return nil, false, fmt.Errorf("%w: %s deletes the object, which a patch of a Placement may not; place what not every cluster has with an App of its own", fleet.ErrInvalid, numbered(i, len(s.patches)))
		case object.CurId() != id:
			return nil, false, fmt.Errorf("%w: %s changes the kind, namespace or name of the object, which a patch of a Placement may not", fleet.ErrInvalid, numbered(i, len(s.patches)))
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

// numbered names a patch. A cluster gets those of all overrides that match it as one list, so that a field's path would
// lead people to another one.
func numbered(i, n int) string {
	return fmt.Sprintf("patch %d of the %d that the cluster gets", i+1, n)
}

// errFails is all that is told of kustomize's reason: it may hold parts of the object.
var errFails = errors.New("it cannot be applied to the object: is there a field that it tests, removes or replaces?")

func (p patch) apply(object *resource.Resource) error {
	switch {
	case p.operations != "":
		return failing(object.ApplyFilter(patchjson6902.Filter{Patch: p.operations}))
	case p.target != nil:
		all := resmap.New()
		if err := all.Append(object); err != nil {
			return errFails
		}
		err := all.ApplySmPatch(resource.MakeIdSet([]*resource.Resource{object}), p.merges[0])
		if err == nil && all.Size() == 0 {
			object.SetYNode(nil) // the patch deleted it
		}
		return failing(err)
	}
	for _, merge := range p.merges {
		if object.IsNilOrEmpty() || !merge.OrgId().Equals(object.CurId()) {
			continue
		}
		if err := object.ApplySmPatch(merge.DeepCopy()); err != nil {
			return errFails
		}
	}
	return nil
}

func failing(err error) error {
	if err != nil {
		return errFails
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
