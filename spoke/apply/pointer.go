package apply

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// place is where a pointer leads: in what we send, in what is there, and in managedFields, nil where those do not name it.
type place struct{ ours, theirs, fields []string }

// locate follows a pointer. An element of a list is the one at that index of what we send, and what is there that has its
// keys, at whatever index.
func locate(payload, live any, owners owners, pointer []string) place {
	found := place{fields: []string{}}
	for _, token := range pointer {
		list, isList := payload.([]any)
		if !isList && payload == nil {
			list, isList = live.([]any)
		}
		mine, theirs, field := token, token, "f:"+token
		if index, err := strconv.Atoi(token); isList && err == nil {
			field = ""
			if index >= 0 && index < len(list) {
				field, theirs = element(list[index], live, owners, found.fields, token)
			}
		}
		found.ours, found.theirs = append(found.ours, mine), append(found.theirs, theirs)
		if field == "" || found.fields == nil {
			found.fields = nil
		} else {
			found.fields = append(found.fields, field)
		}
		payload, _ = at(payload, []string{mine})
		live, _ = at(live, []string{theirs})
	}
	return found
}

// element finds the element of a list by the keys that managedFields has for it: its name there, and its index in live.
// An item that leaves keys at their defaults is one that only one name fits.
func element(item, live any, owners owners, parent []string, index string) (field, theirs string) {
	list, isList := live.([]any)
	if _, isMap := item.(map[string]any); !isMap || !isList || parent == nil {
		return "", index
	}
	several := false
	var keys map[string]any
	for name, named := range namedElements(owners, parent) {
		fits, whole := fitsKeys(item, named)
		if whole {
			field, keys, several = name, named, false
			break
		}
		if fits {
			several = several || field != ""
			field, keys = name, named
		}
	}
	at := slices.IndexFunc(list, func(other any) bool {
		_, whole := fitsKeys(other, keys)
		return whole
	})
	if field == "" || several || at < 0 {
		return "", index
	}
	return field, strconv.Itoa(at)
}

// namedElements are the elements of a list that managedFields name by keys: the keys, by the name.
func namedElements(owners owners, parent []string) map[string]map[string]any {
	named := map[string]map[string]any{}
	for _, fields := range slices.Concat(owners.ours, owners.appliers, owners.updaters) {
		node, _ := walk(fields, parent)
		for name := range node {
			encoded, isKey := strings.CutPrefix(name, "k:")
			var keys map[string]any
			if isKey && json.Unmarshal([]byte(encoded), &keys) == nil {
				named[name] = keys
			}
		}
	}
	return named
}

// fitsKeys reports whether an item of a list may be the one with those keys, and whether it says so whole: it may leave
// a key at its default, such as a port's protocol.
func fitsKeys(item any, keys map[string]any) (fits, whole bool) {
	object, isMap := item.(map[string]any)
	whole = isMap
	for key, want := range keys {
		value, has := object[key]
		if has && !equal(value, want) {
			return false, false
		}
		whole = whole && has
	}
	return isMap, whole
}

// tokens are those of a JSON pointer (RFC 6901).
func tokens(pointer string) []string {
	all := strings.Split(strings.TrimPrefix(pointer, "/"), "/")
	for i, token := range all {
		all[i] = strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
	}
	return all
}

func at(node any, path []string) (any, bool) {
	for _, token := range path {
		switch n := node.(type) {
		case map[string]any:
			value, has := n[token]
			if !has {
				return nil, false
			}
			node = value
		case []any:
			index, err := strconv.Atoi(token)
			if err != nil || index < 0 || index >= len(n) {
				return nil, false
			}
			node = n[index]
		default:
			return nil, false
		}
	}
	return node, true
}

// with returns node with a value at a path, making maps on the way.
func with(node any, path []string, value any) any {
	if len(path) == 0 {
		return value
	}
	if list, isList := node.([]any); isList {
		if index, err := strconv.Atoi(path[0]); err == nil && index >= 0 && index < len(list) {
			list[index] = with(list[index], path[1:], value)
		}
		return list
	}
	object := pairs(node)
	object[path[0]] = with(object[path[0]], path[1:], value)
	return object
}

// without returns node without what is at a path.
func without(node any, path []string) any {
	switch n := node.(type) {
	case map[string]any:
		if next, has := n[path[0]]; len(path) == 1 {
			delete(n, path[0])
		} else if has {
			n[path[0]] = without(next, path[1:])
		}
	case []any:
		index, err := strconv.Atoi(path[0])
		switch {
		case err != nil || index < 0 || index >= len(n):
		case len(path) == 1:
			return slices.Delete(n, index, index+1)
		default:
			n[index] = without(n[index], path[1:])
		}
	}
	return node
}

// equal compares JSON values, of whatever decoder.
func equal(a, b any) bool {
	x, err1 := marshal(a)
	y, err2 := marshal(b)
	return err1 == nil && err2 == nil && bytes.Equal(x, y)
}
