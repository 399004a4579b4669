package manifest

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Blobs are the contents that digests name.
type Blobs map[fleet.Digest][]byte

// New makes the Manifest of the objects that a build printed, one JSON or YAML document each, in build order, and the
// blobs of their canonical forms. Lists are replaced by their items. An error wraps fleet.ErrInvalid and names the
// document: one that does not say what it is, one that is there twice, one that asks for what is not supported, or one
// too much.
func New(documents [][]byte) (*Manifest, Blobs, error) {
	b := builder{blobs: Blobs{}, seen: map[fleet.ObjectRef]int{}}
	for i, document := range documents {
		object, err := parse(document)
		if err == nil && object != nil {
			err = b.add(object, i+1, 0)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("%w: object %d of %d: %w", fleet.ErrInvalid, i+1, len(documents), err)
		}
	}
	slices.SortFunc(b.entries, Entry.Compare)
	m := &Manifest{Entries: b.entries}
	if m.encoded = m.Encode(); len(m.encoded) > maxEncoded {
		return nil, nil, fmt.Errorf("%w: the references of the objects have more than %d bytes together", fleet.ErrInvalid, maxEncoded)
	}
	return m, b.blobs, nil
}

type builder struct {
	entries []Entry
	blobs   Blobs
	size    int
	seen    map[fleet.ObjectRef]int // id to number of the document
}

// maxListDepth bounds lists within lists.
const maxListDepth = 8

func (b *builder) add(object map[string]any, number, depth int) error {
	if items, isList := listItems(object); isList {
		if depth == maxListDepth {
			return errors.New("lists nested too deep")
		}
		for i, item := range items {
			child, isObject := item.(map[string]any)
			if !isObject {
				return fmt.Errorf("%s: items[%d] is not an object", name(object["kind"]), i)
			}
			if err := b.add(child, number, depth+1); err != nil {
				return fmt.Errorf("%s: items[%d]: %w", name(object["kind"]), i, err)
			}
		}
		return nil
	}
	ref, err := RefOf(object)
	if err != nil {
		return err
	}
	if first, twice := b.seen[ref.ID()]; twice {
		return fmt.Errorf("%s is there twice: object %d is the same", ref, first)
	}
	b.seen[ref.ID()] = number
	metadata, _ := object["metadata"].(map[string]any)
	if err := cmp.Or(refuseUnsupported(metadata), refuseEncrypted(object, metadata)); err != nil {
		return fmt.Errorf("%s: %w", ref, err)
	}
	data, err := Canonical(object)
	if err != nil {
		return fmt.Errorf("%s: %w", ref, err)
	}
	b.size += len(data)
	switch {
	case len(data) > MaxObjectSize:
		return fmt.Errorf("%s has %d bytes; an object may have %d", ref, len(data), MaxObjectSize)
	case b.size > MaxSize:
		return fmt.Errorf("with %s the objects have more than %d bytes together", ref, MaxSize)
	case len(b.entries) == MaxObjects:
		return fmt.Errorf("%s is one too many: an App may have %d objects", ref, MaxObjects)
	}
	entry := Entry{Ref: ref, Digest: fleet.DigestOf(data), Size: len(data), Stage: StageOf(ref), Group: GroupOf(ref)}
	entry.flag(metadata)
	b.blobs[entry.Digest] = data
	b.entries = append(b.entries, entry)
	return nil
}

// listItems returns the items of an object that only lists others: kustomize's rule, a kind that ends in List and has
// items.
func listItems(object map[string]any) ([]any, bool) {
	kind, _ := object["kind"].(string)
	value, has := object["items"]
	if !strings.HasSuffix(kind, "List") || !has {
		return nil, false
	}
	items, isArray := value.([]any)
	return items, isArray || value == nil
}

// RefOf returns the reference of an object. An error says which of apiVersion, kind and metadata.name it lacks or has
// in a form that no API server takes.
func RefOf(object map[string]any) (fleet.ObjectRef, error) {
	metadata, _ := object["metadata"].(map[string]any)
	apiVersion, err1 := field(object, "apiVersion", "apiVersion", true)
	kind, err2 := field(object, "kind", "kind", true)
	namespace, err3 := field(metadata, "namespace", "metadata.namespace", false)
	objectName, err4 := field(metadata, "name", "metadata.name", true)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return fleet.ObjectRef{}, fmt.Errorf("%s/%s: %s", name(object["kind"]), name(metadata["name"]),
			strings.ReplaceAll(err.Error(), "\n", ", "))
	}
	group, version, grouped := strings.Cut(apiVersion, "/")
	if !grouped {
		group, version = "", apiVersion
	}
	if version == "" || (grouped && group == "") || strings.Contains(version, "/") {
		return fleet.ObjectRef{}, fmt.Errorf("%s/%s: apiVersion %q is not version or group/version", kind, objectName, apiVersion)
	}
	return fleet.ObjectRef{Group: group, Version: version, Kind: kind, Namespace: namespace, Name: objectName}, nil
}

// maxField is the longest name that Kubernetes has (a DNS subdomain).
const maxField = 253

func field(object map[string]any, key, path string, required bool) (string, error) {
	value, has := object[key]
	content, isString := value.(string)
	switch {
	case has && value != nil && !isString:
		return "", fmt.Errorf("%s is not a string", path)
	case content == "" && required:
		return "", fmt.Errorf("%s is missing", path)
	case len(content) > maxField:
		return "", fmt.Errorf("%s is longer than %d bytes", path, maxField)
	case content == ".", content == "..", key != "apiVersion" && strings.Contains(content, "/"),
		strings.ContainsFunc(content, unfit):
		return "", fmt.Errorf("%s %q has characters that it may not have", path, content)
	}
	return content, nil
}

// unfit reports the characters that no name of Kubernetes has and that logs, paths and encodings would trip over.
func unfit(r rune) bool {
	return strings.ContainsRune("%\"\\<>&", r) || !unicode.IsGraphic(r) || unicode.IsSpace(r)
}

// name is what an error calls the object by, as far as it has a name.
func name(value any) string {
	if name, _ := value.(string); name != "" && len(name) <= maxField {
		return name
	}
	return "?"
}
