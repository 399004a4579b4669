package decrypt

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// metadata is what a document says of how it was encrypted.
type metadata struct {
	rule rule
	// groups of keys: any key of a group opens the group's part of the data key, and threshold parts make it whole.
	groups    [][]masterKey
	threshold int
}

// masterKey is one of the keys that a document was encrypted for.
type masterKey struct {
	kind string // the field it stands in: age, pgp, kms, ...
	// id names the key: an age recipient, a fingerprint, an ARN.
	id string
	// enc is the data key, or its part, encrypted for it.
	enc string
	// fields are all that the document says of it.
	fields map[string]any
}

// String names the key as a person knows it.
func (k masterKey) String() string {
	const most = 100
	id := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, k.id)
	if len(id) > most {
		id = id[:most] + "..."
	}
	return keyKinds[k.kind].name + " " + id
}

// keyKinds are the kinds of keys by the field that lists them, and the fields that name one.
var keyKinds = map[string]struct {
	name string
	id   []string
}{
	"age":      {"age", []string{"recipient"}},
	"pgp":      {"PGP", []string{"fp"}},
	"kms":      {"AWS KMS", []string{"arn"}},
	"gcp_kms":  {"GCP KMS", []string{"resource_id"}},
	"azure_kv": {"Azure Key Vault", []string{"vault_url", "name", "version"}},
	"hc_vault": {"Vault", []string{"vault_address", "engine_path", "key_name"}},
	"hckms":    {"Huawei Cloud KMS", []string{"key_id"}},
}

// kindOrder is that in which keys are tried: those that need no network first.
var kindOrder = []string{"age", "pgp", "kms", "gcp_kms", "azure_kv", "hc_vault", "hckms"}

func metadataOf(fields map[string]any) (metadata, error) {
	var m metadata
	var err error
	if m.rule, err = ruleOf(fields); err != nil {
		return m, err
	}
	if keys := keysOf(fields); len(keys) > 0 {
		m.groups = [][]masterKey{keys}
	} else if groups, is := fields["key_groups"].([]any); is {
		for i, group := range groups {
			fields, _ := group.(map[string]any)
			keys := keysOf(fields)
			if len(keys) == 0 {
				return m, fmt.Errorf("sops.key_groups[%d] has no keys", i)
			}
			m.groups = append(m.groups, keys)
		}
	}
	if len(m.groups) == 0 {
		return m, errors.New("sops names no key that it was encrypted for")
	}
	m.threshold = len(m.groups)
	if text := textOf(fields["shamir_threshold"]); text != "" && text != "0" && len(m.groups) > 1 {
		m.threshold, err = strconv.Atoi(text)
		if err != nil || m.threshold < 2 || m.threshold > len(m.groups) {
			return m, fmt.Errorf("sops.shamir_threshold is not between 2 and the number of key groups, %d", len(m.groups))
		}
	}
	return m, nil
}

// keysOf reads the keys of one group.
func keysOf(fields map[string]any) []masterKey {
	var keys []masterKey
	for _, kind := range kindOrder {
		items, _ := fields[kind].([]any)
		for _, item := range items {
			fields, is := item.(map[string]any)
			if !is {
				continue
			}
			var id []string
			for _, field := range keyKinds[kind].id {
				if text := textOf(fields[field]); text != "" {
					id = append(id, text)
				}
			}
			keys = append(keys, masterKey{kind: kind, id: strings.Join(id, "/"), enc: textOf(fields["enc"]), fields: fields})
		}
	}
	return keys
}

// wanted are the names of the keys that would open the document.
func (m metadata) wanted() []string {
	const most = 8
	var names []string
	for _, group := range m.groups {
		for _, key := range group {
			if name := key.String(); !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	if len(names) > most {
		names = append(names[:most:most], fmt.Sprintf("and %d more", len(names)-most))
	}
	return names
}

// textOf is a scalar as text: some formats have nothing else.
func textOf(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case int:
		return strconv.Itoa(v)
	}
	return ""
}

// plainOf turns a tree into maps and slices, without its comments.
func plainOf(value any) any {
	switch v := value.(type) {
	case mapping:
		plain := make(map[string]any, len(v))
		for _, e := range v {
			if e.note == nil {
				plain[e.key] = plainOf(e.value)
			}
		}
		return plain
	case list:
		plain := make([]any, 0, len(v))
		for _, item := range v {
			if _, is := item.(comment); !is {
				plain = append(plain, plainOf(item))
			}
		}
		return plain
	}
	return value
}

// Formats without nesting write the metadata as one level of keys: sops_age__list_0__map_recipient.
const (
	mapMark  = "__map_"
	listMark = "__list_"
)

// unflatten gives such keys their levels back.
func unflatten(flat map[string]any) (map[string]any, error) {
	root := map[string]any{}
	for key, value := range flat {
		levels := map[string]any(root)
		steps := strings.Split(strings.ReplaceAll(key, listMark, mapMark+listMark), mapMark)
		for i, step := range steps {
			if i == len(steps)-1 {
				levels[step] = value
				break
			}
			next, is := levels[step].(map[string]any)
			if levels[step] != nil && !is {
				return nil, fmt.Errorf("sops: %q has a value and more below it", step)
			}
			if next == nil {
				next = map[string]any{}
				levels[step] = next
			}
			levels = next
		}
	}
	for key, value := range root {
		relisted, err := relist(value)
		if err != nil {
			return nil, err
		}
		root[key] = relisted
	}
	return root, nil
}

// relist turns maps whose keys are positions into lists.
func relist(value any) (any, error) {
	levels, is := value.(map[string]any)
	if !is {
		return value, nil
	}
	var items []any
	for key, child := range levels {
		child, err := relist(child)
		if err != nil {
			return nil, err
		}
		levels[key] = child
		position, isList := strings.CutPrefix(key, listMark)
		if !isList {
			continue
		}
		n, err := strconv.Atoi(position)
		if err != nil || n < 0 || n >= len(levels) {
			return nil, errors.New("sops has a list with gaps")
		}
		if items == nil {
			items = make([]any, len(levels))
		}
		items[n] = child
	}
	if items != nil {
		return items, nil
	}
	return levels, nil
}
