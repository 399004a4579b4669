package helm

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/diff"
	"flotilla.dev/flotilla/spoke/helm/job"
)

// Comparison is what a release is compared with.
type Comparison struct {
	Target
	// Blob has the content of the Manifest.
	Blob func(fleet.Digest) ([]byte, error)
}

// Diff says what a pass would change of the newest version that Helm has: of its values, and of the objects in it. Nothing is
// written, and no pass waits for it. No value of a Secret is in it: where there are some, or a template reads what is in the
// cluster, all that is shown of the objects is which fields would change.
func (e *Engine) Diff(ctx context.Context, c Comparison) (fleet.Diff, error) {
	answer, err := e.diff(ctx, c)
	if err != nil {
		return fleet.Diff{}, fmt.Errorf("compare %s: %w", c.App.Words(), err)
	}
	answer.Bound(fleet.MaxAnswer)
	return answer, nil
}

func (e *Engine) diff(ctx context.Context, c Comparison) (fleet.Diff, error) {
	none := fleet.Diff{}
	q, err := e.consult(ctx, c)
	if err != nil {
		return none, err
	}
	defer q.close()
	prepared, err := q.do(ctx, job.Request{Action: job.Prepare})
	if err != nil {
		return none, err
	}
	rendered, err := q.do(ctx, job.Request{Action: job.Render, Reveal: true})
	if err != nil {
		return none, err
	}
	will, shown, err := q.values(ctx)
	if err != nil {
		return none, err
	}
	versions, err := e.versions(ctx, c.App, q.account, q.names, true)
	if err != nil {
		return none, err
	}
	var has map[string]any
	plain := true // of what there is: without a version, nothing
	if len(versions) > 0 {
		has = versions[0].config
		plain = e.plain(c.App, versions[0].version)
	}
	answer := fleet.Diff{Release: c.Release.Digest(), Objects: []fleet.ObjectDiff{}}
	if answer.Values, err = valuesDiff(has, will, shown, plain || !prepared.Prepared.Secret && reflect.DeepEqual(has, will)); err != nil {
		return none, err
	}
	var sealed diff.Keys
	if !plain || prepared.Prepared.Secret || rendered.LookedUp {
		sealed = diff.Keys{}
		for _, key := range rendered.Keys {
			sealed[key] = true
		}
	}
	return answer, compareObjects(&answer, rendered, sealed)
}

// plain reports whether the newest version that is stored is known to have no value of a Secret in it.
func (e *Engine) plain(app fleet.Key, version int) bool {
	a := e.known(app)
	if a == nil {
		return false
	}
	r := a.record()
	current, has := r.current()
	return has && current.Version == version && r.Plain
}

// valuesDiff is that of the values that a version has and those that one would have; what is sealed of them has another text
// in shown.
func valuesDiff(has, will, shown map[string]any, plain bool) (string, error) {
	before, err1 := valuesText(hidden(has, will, shown, plain))
	after, err2 := valuesText(shown)
	if err := errors.Join(err1, err2); err != nil {
		return "", errors.New("the values cannot be shown as YAML") // the encoder's words may quote them
	}
	return diff.Texts(before, after), nil
}

func valuesText(values any) (string, error) {
	if tree, _ := values.(map[string]any); len(tree) == 0 {
		return "", nil
	}
	text, err := yaml.Marshal(values)
	return string(text), err
}

// compareObjects fills in what would become of the objects.
func compareObjects(answer *fleet.Diff, rendered job.Answer, sealed diff.Keys) error {
	before, order, err := objectsOf(rendered.Before)
	if err != nil {
		return err
	}
	after, wanted, err := objectsOf(rendered.Objects)
	if err != nil {
		return err
	}
	for _, ref := range order {
		if after[ref] == nil {
			wanted = append(wanted, ref)
		}
	}
	for _, ref := range wanted {
		result := fleet.ObjectDiff{Object: ref, Change: fleet.ChangeChange}
		switch old, new := before[ref], after[ref]; {
		case old == nil:
			result.Change = fleet.ChangeCreate
		case new == nil && old.GetAnnotations()["helm.sh/resource-policy"] == "keep":
			continue // Helm leaves it there
		case new == nil:
			result.Change = fleet.ChangeDelete
		}
		text, err := diff.Objects(before[ref], after[ref], sealed)
		switch {
		case err != nil: // the encoder's words may quote it
			result.Change, result.Error = "", ref.String()+": it cannot be shown as YAML"
		case text == "":
			answer.Unchanged++
			continue
		}
		result.Diff = text
		answer.Objects = append(answer.Objects, result)
	}
	return nil
}

func objectsOf(documents [][]byte) (map[fleet.ObjectRef]*unstructured.Unstructured, []fleet.ObjectRef, error) {
	objects, order := map[fleet.ObjectRef]*unstructured.Unstructured{}, []fleet.ObjectRef{}
	for _, document := range documents {
		object := &unstructured.Unstructured{}
		if err := object.UnmarshalJSON(document); err != nil {
			return nil, nil, errors.New("Helm's process answered with an object that cannot be read") // the decoder's words may quote it
		}
		gvk := object.GroupVersionKind()
		ref := fleet.ObjectRef{Group: gvk.Group, Version: gvk.Version, Kind: gvk.Kind, Namespace: object.GetNamespace(), Name: object.GetName()}
		objects[ref] = object
		order = append(order, ref)
	}
	slices.SortStableFunc(order, func(a, b fleet.ObjectRef) int { return cmp.Compare(a.String(), b.String()) })
	return objects, slices.Compact(order), nil
}

// decodeValues reads values as the process writes them.
func decodeValues(text []byte) (map[string]any, error) {
	values := map[string]any{}
	data, err := yaml.YAMLToJSON(text)
	if err == nil {
		err = json.Unmarshal(data, &values)
	}
	if err != nil {
		return nil, errors.New("Helm's process answered with values that cannot be read") // the decoder's words may quote them
	}
	if values == nil {
		values = map[string]any{}
	}
	return values, nil
}
