package apply

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"k8s.io/apimachinery/pkg/types"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/run"
)

// around is a server-side apply of an object around what is there where fields of it are left to others. When somebody
// wrote since that was read, it is read again.
func (a *Applier) around(ctx context.Context, o Object, dryRun ...string) (*metav1.PartialObjectMetadata, error) {
	for wait := 20 * time.Millisecond; ; wait *= 2 {
		body, err := a.body(ctx, o)
		if err != nil {
			return nil, err
		}
		meta, err := a.patch(ctx, o, types.ApplyPatchType, body, dryRun...)
		if len(o.ignored) == 0 || !apierrors.IsConflict(err) || wait > 2*time.Second {
			return meta, err
		}
		if cause := run.Sleep(ctx, wait); cause != nil {
			return nil, errors.Join(err, cause)
		}
	}
}

// body is what is sent of an object: where fields of it are left to others, around what is there, and for that only.
func (a *Applier) body(ctx context.Context, o Object) ([]byte, error) {
	switch {
	case o.at != "":
		return o.pinned()
	case len(o.ignored) == 0:
		return o.data, nil
	}
	ctx, release, err := a.slot(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	live, err := a.full.Resource(o.Mapping.Resource).Namespace(o.Ref.Namespace).Get(ctx, o.Ref.Name, metav1.GetOptions{})
	if err = o.explain("get", err); isNotFound(err) {
		return o.data, nil
	}
	if err != nil {
		return nil, err
	}
	return a.reserve(o, live.Object, live.GetManagedFields())
}

// pinned is what is sent of an object for one version of what is there.
func (o Object) pinned() ([]byte, error) {
	payload, err := decode(o.data)
	if err != nil {
		return nil, fmt.Errorf("%s: content: %w: %w", o.Ref, fleet.ErrInvalid, err)
	}
	pairs(payload["metadata"])["resourceVersion"] = o.at
	return marshal(payload)
}

// reserve returns what is sent of an object that is there as live, and of no other version of it. A field that is left to others is not sent where
// another one manages it; where nobody else does, its value is sent as it is there, since to leave out what is ours alone
// would remove it.
func (m Marks) reserve(o Object, live map[string]any, managers []metav1.ManagedFieldsEntry) ([]byte, error) {
	payload, err := decode(o.data)
	if err != nil {
		return nil, fmt.Errorf("%s: content: %w: %w", o.Ref, fleet.ErrInvalid, err)
	}
	owners := m.owners(managers)
	labels, annotations := merged(live, payload, "labels"), merged(live, payload, "annotations")
	for _, rule := range o.ignored {
		if !rule.labels.Matches(labels) || !rule.annotations.Matches(annotations) {
			continue
		}
		for _, pointer := range rule.paths {
			place := locate(payload, live, owners, tokens(pointer))
			have, sent := at(payload, place.ours)
			value, there := at(live, place.theirs)
			ours, others, appliers := owners.of(place.fields)
			switch {
			case sent && !there:
				payload = without(payload, place.ours).(map[string]any)
			case sent && equal(have, value):
			case sent && (appliers || others && !ours):
				payload = without(payload, place.ours).(map[string]any)
			case sent, there && ours && !others:
				payload = with(payload, place.ours, value).(map[string]any)
			}
		}
	}
	if err := m.identify(payload, o.data); err != nil {
		return nil, fmt.Errorf("%s: %w", o.Ref, err)
	}
	pairs(payload["metadata"])["resourceVersion"] = pairs(live["metadata"])["resourceVersion"]
	return marshal(payload)
}

// identify puts back what makes an object the one it is, and ours, whatever a rule says.
func (m Marks) identify(payload map[string]any, data []byte) error {
	original, err := decode(data)
	if err != nil {
		return err
	}
	payload["apiVersion"], payload["kind"] = original["apiVersion"], original["kind"]
	was := pairs(original["metadata"])
	metadata := pairs(payload["metadata"])
	metadata["name"] = was["name"]
	if namespace, has := was["namespace"]; has {
		metadata["namespace"] = namespace
	}
	labels := pairs(metadata["labels"])
	for _, key := range []string{m.NameLabel, m.NamespaceLabel} {
		labels[key] = pairs(was["labels"])[key]
	}
	metadata["labels"], payload["metadata"] = labels, metadata
	return nil
}

// owners are the fields of those who manage an object.
type owners struct {
	ours               []map[string]any // by Apply
	appliers, updaters []map[string]any // others
}

// owners leaves out whose fields become ours anyway.
func (m Marks) owners(managers []metav1.ManagedFieldsEntry) (all owners) {
	for _, entry := range managers {
		_, left, err := m.part(entry)
		if err != nil || left == nil || left.FieldsV1 == nil {
			continue
		}
		var fields map[string]any
		if json.NewDecoder(left.FieldsV1.GetRawReader()).Decode(&fields) != nil {
			continue
		}
		switch applies := entry.Operation == metav1.ManagedFieldsOperationApply && entry.Subresource == ""; {
		case applies && entry.Manager == m.Manager:
			all.ours = append(all.ours, fields)
		case applies:
			all.appliers = append(all.appliers, fields)
		default:
			all.updaters = append(all.updaters, fields)
		}
	}
	return all
}

// of tells who manages a field: we, another one at all, another one by Apply. Of one that managedFields cannot name,
// nobody.
func (all owners) of(field []string) (ours, others, appliers bool) {
	manages := func(fields map[string]any) bool {
		_, has := walk(fields, field)
		return has
	}
	if field == nil {
		return false, false, false
	}
	appliers = slices.ContainsFunc(all.appliers, manages)
	return slices.ContainsFunc(all.ours, manages), appliers || slices.ContainsFunc(all.updaters, manages), appliers
}

func walk(fields map[string]any, field []string) (map[string]any, bool) {
	for _, name := range field {
		next, has := fields[name].(map[string]any)
		if !has {
			return nil, false
		}
		fields = next
	}
	return fields, true
}

func decode(data []byte) (object map[string]any, err error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	err = decoder.Decode(&object)
	return object, err
}

// merged are labels or annotations of the object that is there, with those that are sent on top.
func merged(live, payload map[string]any, field string) map[string]string {
	all := text(pairs(pairs(live["metadata"])[field]))
	maps.Copy(all, text(pairs(pairs(payload["metadata"])[field])))
	return all
}
