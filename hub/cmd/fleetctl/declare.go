package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
)

// declaration is an object to be applied or deleted, and where it was written.
type declaration struct {
	manifest
	ref
	object []byte
}

// declare turns manifests into declarations, in the order one applies them: what is referred to first.
func (a *app) declare(manifests []manifest, wrong *problems, decode func([]byte) (ref, error)) []declaration {
	var all []declaration
	seen := map[string]manifest{}
	for _, m := range manifests {
		if m.err != nil {
			wrong.add(m, "", m.err)
			continue
		}
		object, err := a.inNamespace(m.raw)
		if err != nil {
			wrong.add(m, "", err)
			continue
		}
		r, err := decode(object)
		if before, twice := seen[r.long()]; twice {
			err = errors.Join(err, fmt.Errorf("is given twice: in %s too", before))
		}
		if r.name != "" {
			seen[r.long()] = m
		}
		if err != nil {
			wrong.add(m, r.long(), err)
			continue
		}
		all = append(all, declaration{manifest: m, ref: r, object: object})
	}
	slices.SortStableFunc(all, func(a, b declaration) int { return rank(a.kind) - rank(b.kind) })
	return all
}

func rank(kind resource.Kind) int {
	return slices.IndexFunc(resource.Kinds(), func(k resource.Kind) bool { return k.Name == kind.Name })
}

// long is "Kind/namespace/name", as the hub writes it.
func (r ref) long() string {
	switch {
	case r.name == "":
		return ""
	case r.namespace == "":
		return r.kind.Name + "/" + r.name
	}
	return r.kind.Name + "/" + r.namespace + "/" + r.name
}

// decodeDeclared validates an object as the hub will.
func decodeDeclared(raw []byte) (ref, error) {
	r, err := identify(raw)
	if err != nil {
		return r, err
	}
	_, err = resource.Decode(raw)
	return r, err
}

// identify reads only which object it is.
func identify(raw []byte) (ref, error) {
	var o struct {
		APIVersion string            `json:"apiVersion"`
		Kind       string            `json:"kind"`
		Metadata   resource.Metadata `json:"metadata"`
	}
	if err := json.Unmarshal(raw, &o); err != nil {
		return ref{}, fmt.Errorf("is no Kubernetes object: %w", resource.DecodeError("", raw, err))
	}
	kind, found := resource.KindOf(o.Kind)
	switch {
	case o.Kind == "" || o.APIVersion == "":
		return ref{}, errors.New("is no Kubernetes object: apiVersion and kind are required")
	case !found || kind.APIVersion != o.APIVersion:
		return ref{}, fmt.Errorf("%s %s: kind %s of %s is not supported yet", o.Kind, o.Metadata.Name, o.Kind, o.APIVersion)
	}
	r := ref{kind: kind, namespace: o.Metadata.Namespace, name: o.Metadata.Name}
	if cluster := o.Metadata.Annotations[fleet.ClusterAnnotation]; cluster != "" {
		return r, fmt.Errorf("metadata.annotations[%s]: this is what cluster %s runs, not an object that is declared", fleet.ClusterAnnotation, cluster)
	}
	if r.name == "" {
		return r, errors.New("metadata.name: is required")
	}
	return r, nil
}

// inNamespace gives an object that names no namespace the one that is meant. An object of another one than -n names
// is refused.
func (a *app) inNamespace(raw []byte) ([]byte, error) {
	var fields, metadata map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		return nil, errors.New("is no Kubernetes object")
	}
	var kindName, namespace string
	_ = json.Unmarshal(fields["kind"], &kindName)         // what is not a string is refused by the decoder
	_ = json.Unmarshal(fields["metadata"], &metadata)     // likewise
	_ = json.Unmarshal(metadata["namespace"], &namespace) // likewise
	kind, found := resource.KindOf(kindName)
	switch {
	case !found || !kind.Namespaced || metadata == nil:
		return raw, nil
	case namespace != "" && a.given["namespace"] && namespace != a.flags.namespace:
		return nil, fmt.Errorf("metadata.namespace: is %s, and -n says %s", namespace, a.flags.namespace)
	case namespace != "":
		return raw, nil
	}
	metadata["namespace"], _ = json.Marshal(a.namespace()) // a string always encodes
	fields["metadata"], _ = json.Marshal(metadata)         // so does what was decoded
	return json.Marshal(fields)
}
