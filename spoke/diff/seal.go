package diff

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
)

// Keys are keys of maps that no value of a Secret has made, as they stand in a document that is not resolved yet.
type Keys map[string]bool

// usual are keys that every object has, or may have.
var usual = Keys{"apiVersion": true, "kind": true, "metadata": true, "name": true, "namespace": true, "labels": true, "annotations": true}

// Add takes in the keys of all maps in a document.
func (k Keys) Add(document any) {
	switch x := document.(type) {
	case map[string]any:
		for key, value := range x {
			k[key] = true
			k.Add(value)
		}
	case []any:
		for _, item := range x {
			k.Add(item)
		}
	}
}

// seal hides every value of an object but what names it.
func (k Keys) seal(old, new map[string]any) (map[string]any, map[string]any) {
	a, b := k.hide(value(old), value(new))
	sealedOld, _ := a.(map[string]any)
	sealedNew, _ := b.(map[string]any)
	for _, pair := range [2][2]map[string]any{{old, sealedOld}, {new, sealedNew}} {
		from, to := pair[0], pair[1]
		if from == nil {
			continue
		}
		to["apiVersion"], to["kind"] = from["apiVersion"], from["kind"]
		named, _ := from["metadata"].(map[string]any)
		if metadata, isMap := to["metadata"].(map[string]any); isMap {
			for _, field := range []string{"name", "namespace"} {
				if name, has := named[field]; has {
					metadata[field] = name
				}
			}
		}
	}
	return sealedOld, sealedNew
}

// value is a map that may not be there.
func value(m map[string]any) any {
	if m == nil {
		return nil
	}
	return m
}

// hide returns two values with all that they hold masked: by what is the same in both, and what is not.
func (k Keys) hide(a, b any) (any, any) {
	switch {
	case a == nil && b == nil:
		return nil, nil
	case a == nil || b == nil:
		return k.hidden(a, masked), k.hidden(b, masked)
	}
	switch x := a.(type) {
	case map[string]any:
		y, isMap := b.(map[string]any)
		if !isMap {
			break
		}
		p, q := map[string]any{}, map[string]any{}
		for key, name := range k.names(x, y) {
			one, inX := x[key]
			other, inY := y[key]
			switch {
			case inX && inY:
				p[name], q[name] = k.hide(one, other)
			case inX:
				p[name] = k.hidden(one, masked)
			default:
				q[name] = k.hidden(other, masked)
			}
		}
		return p, q
	case []any:
		y, isList := b.([]any)
		if !isList {
			break
		}
		p, q := make([]any, len(x)), make([]any, len(y))
		for i := range max(len(x), len(y)) {
			switch {
			case i >= len(y):
				p[i] = k.hidden(x[i], masked)
			case i >= len(x):
				q[i] = k.hidden(y[i], masked)
			default:
				p[i], q[i] = k.hide(x[i], y[i])
			}
		}
		return p, q
	default:
		if reflect.DeepEqual(a, b) {
			return masked, masked
		}
	}
	return k.hidden(a, maskedBefore), k.hidden(b, maskedAfter)
}

// hidden is a value with a mark in place of whatever it holds.
func (k Keys) hidden(v any, mark string) any {
	switch x := v.(type) {
	case nil:
		return nil
	case map[string]any:
		fields := make(map[string]any, len(x))
		for key, name := range k.names(x) {
			fields[name] = k.hidden(x[key], mark)
		}
		return fields
	case []any:
		items := make([]any, len(x))
		for i, item := range x {
			items[i] = k.hidden(item, mark)
		}
		return items
	}
	return mark
}

// names says as what the keys of maps are shown: one that is not known by a mark, and by a number where there are more.
func (k Keys) names(of ...map[string]any) map[string]string {
	names := map[string]string{}
	for _, m := range of {
		for key := range m {
			names[key] = key
		}
	}
	hidden := 0
	for _, key := range slices.Sorted(maps.Keys(names)) {
		if k[key] || usual[key] {
			continue
		}
		hidden++
		names[key] = masked
		if hidden > 1 {
			names[key] = fmt.Sprintf("%s (%d)", masked, hidden)
		}
	}
	return names
}
