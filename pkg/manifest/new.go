package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unsafe"

	"sigs.k8s.io/yaml"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/sops"
)

// Blobs are the contents that digests name.
type Blobs map[fleet.Digest][]byte

// Options are what an App's spec says of its objects beyond their build. The zero Options leave them as they are.
type Options struct {
	// Substitute is set for an App with postBuild: an object whose text has a variable is kept as it was printed.
	Substitute bool
	// Decrypt is set for an App with decryption. Of one without it an encrypted object is refused.
	Decrypt bool
	// CommonMetadata is set on every object, in place of what the object says.
	CommonMetadata *fleet.CommonMetadata
}

// OptionsOf are those of a spec.
func OptionsOf(spec fleet.ReleaseSpec) Options {
	return Options{Substitute: spec.PostBuild != nil, Decrypt: spec.Decryption != nil, CommonMetadata: spec.CommonMetadata}
}

// New makes the Manifest of the objects that a build printed, one JSON or YAML document each, in build order, and the
// blobs that it names. Lists are replaced by their items. An error wraps fleet.ErrInvalid and names the document: one
// that does not say what it is, one that is there twice, one that asks for what is not supported, or one too much.
func New(documents [][]byte, options Options) (*Manifest, Blobs, error) {
	return NewKnowing(nothing{}, documents, options)
}

// Known keeps what documents came to. It may forget.
type Known interface {
	Get(key fleet.Digest) (Object, bool)
	// Put is told how many bytes the object takes, which holds nothing beside: not the documents that it was made of.
	Put(key fleet.Digest, object Object, bytes int64)
}

// Object is an entry and its blob, which is shared: nobody changes it.
type Object struct {
	Entry Entry
	Blob  []byte
}

// alone is the object with a blob of its own: a blob may be the document as it was printed, and that a part of all that
// was printed with it, which would be kept as long.
func (o Object) alone() Object {
	o.Blob = bytes.Clone(o.Blob)
	return o
}

// bytes is about what the object takes in memory.
func (o Object) bytes() int64 {
	size := int64(unsafe.Sizeof(o)) + int64(cap(o.Blob))
	for _, text := range []string{o.Entry.Ref.Group, o.Entry.Ref.Version, o.Entry.Ref.Kind, o.Entry.Ref.Namespace, o.Entry.Ref.Name} {
		size += int64(len(text))
	}
	return size
}

// NewKnowing is New for someone who makes many Manifests, most of whose documents are those of others: what a document
// comes to is worked out once.
func NewKnowing(known Known, documents [][]byte, options Options) (*Manifest, Blobs, error) {
	b := builder{options: options, blobs: Blobs{}, seen: map[fleet.ObjectRef]int{}, known: known, prefix: options.encode()}
	for i, document := range documents {
		if err := b.document(document, i+1); err != nil {
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

// nothing is known.
type nothing struct{}

func (nothing) Get(fleet.Digest) (Object, bool) { return Object{}, false }
func (nothing) Put(fleet.Digest, Object, int64) {}

// encode names the options.
func (o Options) encode() []byte {
	data, err := json.Marshal(o)
	if err != nil {
		panic(fmt.Sprintf("encode options: %v", err)) // strings and booleans always encode
	}
	return append(data, '\n') // which JSON in one line does not have
}

type builder struct {
	options Options
	entries []Entry
	blobs   Blobs
	size    int
	seen    map[fleet.ObjectRef]int // id to number of the document
	known   Known
	prefix  []byte // of what keys of known are made of
}

// document takes in what one document has.
func (b *builder) document(document []byte, number int) error {
	key := fleet.DigestOf(append(b.prefix[:len(b.prefix):len(b.prefix)], document...))
	if object, known := b.known.Get(key); known {
		return b.take(object, number)
	}
	value, err := parse(document)
	if err != nil || value == nil {
		return err
	}
	before := len(b.entries)
	_, isList := listItems(value)
	if err := b.add(value, document, number, 0); err != nil || isList {
		return err
	}
	made := Object{b.entries[before], b.blobs[b.entries[before].Digest]}.alone()
	b.known.Put(key, made, made.bytes())
	return nil
}

// maxListDepth bounds lists within lists.
const maxListDepth = 8

// add takes in one object and its document.
func (b *builder) add(object map[string]any, document []byte, number, depth int) error {
	if items, isList := listItems(object); isList {
		return b.addItems(items, name(object["kind"]), number, depth)
	}
	entry, blob, err := b.options.entry(object, document)
	if err != nil {
		return err
	}
	return b.take(Object{entry, blob}, number)
}

// take takes in an object that is made.
func (b *builder) take(object Object, number int) error {
	ref := object.Entry.Ref
	if first, twice := b.seen[ref.ID()]; twice {
		return fmt.Errorf("%s is there twice: object %d is the same", ref, first)
	}
	b.seen[ref.ID()] = number
	switch b.size += len(object.Blob); {
	case b.size > MaxSize:
		return fmt.Errorf("with %s the objects have more than %d bytes together", ref, MaxSize)
	case len(b.entries) == MaxObjects:
		return fmt.Errorf("%s is one too many: an App may have %d objects", ref, MaxObjects)
	}
	b.blobs[object.Entry.Digest] = object.Blob
	b.entries = append(b.entries, object.Entry)
	return nil
}

// addItems takes in the items of a list, which have no documents of their own.
func (b *builder) addItems(items []any, kind string, number, depth int) error {
	if depth == maxListDepth {
		return errors.New("lists nested too deep")
	}
	for i, item := range items {
		child, isObject := item.(map[string]any)
		if !isObject {
			return fmt.Errorf("%s: items[%d] is not an object", kind, i)
		}
		document, err := yaml.Marshal(child)
		if err == nil {
			err = b.add(child, document, number, depth+1)
		}
		if err != nil {
			return fmt.Errorf("%s: items[%d]: %w", kind, i, err)
		}
	}
	return nil
}

// entry makes an entry of an object, and its blob: the document where the object is to be resolved, else its canonical
// form.
func (o Options) entry(object map[string]any, document []byte) (Entry, []byte, error) {
	isEncrypted := !sops.Disabled(object) && (sops.Whole(object) || o.Decrypt && len(sops.Values(object)) > 0)
	if isEncrypted && !o.Decrypt {
		ref, _ := RefOf(object)
		return Entry{}, nil, fmt.Errorf("%s: %w", ref, errEncrypted)
	}
	// What is encrypted may have variables that nobody sees yet.
	substitute := o.Substitute && !Exempt(object) && (isEncrypted || bytes.Contains(document, []byte("$")))
	if !isEncrypted && !substitute {
		return EntryOf(object, o.CommonMetadata)
	}
	ref, err := templateRef(object)
	if err != nil {
		return Entry{}, nil, err
	}
	// Not setCommonMetadata: what it says is not substituted.
	entry, err := entryOf(object, ref, document)
	entry.Substitute, entry.Encrypted = substitute, isEncrypted
	return entry, document, err
}

// EntryOf makes the entry of an object as it is applied, and its canonical form, after setting the common metadata on
// it, which may be nil. An error names the object.
func EntryOf(object map[string]any, common *fleet.CommonMetadata) (Entry, []byte, error) {
	ref, err := RefOf(object)
	if err != nil {
		return Entry{}, nil, err
	}
	setCommonMetadata(object, common)
	data, err := Canonical(object)
	if err != nil {
		return Entry{}, nil, fmt.Errorf("%s: %w", ref, err)
	}
	entry, err := entryOf(object, ref, data)
	return entry, data, err
}

func entryOf(object map[string]any, ref fleet.ObjectRef, blob []byte) (Entry, error) {
	metadata, _ := object["metadata"].(map[string]any)
	if len(blob) > MaxObjectSize {
		return Entry{}, fmt.Errorf("%s has %d bytes; an object may have %d", ref, len(blob), MaxObjectSize)
	}
	return Entry{
		Ref: ref, Digest: fleet.DigestOf(blob), Size: len(blob), Stage: StageOf(ref), Group: GroupOf(ref),
		Mode: ModeOf(texts(metadata, "labels"), texts(metadata, "annotations")),
	}, nil
}

// setCommonMetadata sets labels and annotations on an object, in place of what it says of them. Nil sets nothing.
func setCommonMetadata(object map[string]any, common *fleet.CommonMetadata) {
	if common == nil {
		return
	}
	metadata, _ := object["metadata"].(map[string]any)
	for field, values := range map[string]map[string]string{"labels": common.Labels, "annotations": common.Annotations} {
		pairs, isMap := metadata[field].(map[string]any)
		if len(values) == 0 || !isMap && metadata[field] != nil {
			continue // the API server says what is wrong with the object
		}
		if pairs == nil {
			pairs = make(map[string]any, len(values))
			metadata[field] = pairs
		}
		for key, value := range values {
			pairs[key] = value
		}
	}
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

// templateRef is RefOf of an object whose names may have variables in them. Those are not checked before they have their
// values.
func templateRef(object map[string]any) (fleet.ObjectRef, error) {
	metadata, _ := object["metadata"].(map[string]any)
	text := func(m map[string]any, key string) string {
		value, _ := m[key].(string)
		return value
	}
	apiVersion := text(object, "apiVersion")
	ref := fleet.ObjectRef{
		Version: apiVersion, Kind: text(object, "kind"), Namespace: text(metadata, "namespace"), Name: text(metadata, "name"),
	}
	if !strings.Contains(apiVersion+ref.Kind+ref.Namespace+ref.Name, "$") {
		return RefOf(object)
	}
	if group, version, grouped := strings.Cut(apiVersion, "/"); grouped && !strings.Contains(apiVersion, "$") {
		ref.Group, ref.Version = group, version
	}
	switch problem := "%s/%s: %s is missing"; {
	case apiVersion == "":
		return ref, fmt.Errorf(problem, name(ref.Kind), name(ref.Name), "apiVersion")
	case ref.Kind == "":
		return ref, fmt.Errorf(problem, name(ref.Kind), name(ref.Name), "kind")
	case ref.Name == "":
		return ref, fmt.Errorf(problem, name(ref.Kind), name(ref.Name), "metadata.name")
	}
	for _, part := range []string{apiVersion, ref.Kind, ref.Namespace, ref.Name} {
		if len(part) > maxTemplate || strings.ContainsFunc(part, func(r rune) bool { return !unicode.IsGraphic(r) }) {
			return ref, fmt.Errorf("%s/%s: a name with variables is longer than %d bytes, or has control characters", name(ref.Kind), name(ref.Name), maxTemplate)
		}
	}
	return ref, nil
}

// maxTemplate bounds a name with variables in it.
const maxTemplate = 1024

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
