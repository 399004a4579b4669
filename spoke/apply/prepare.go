package apply

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/manifest"
)

// Object is what is sent for an entry of a Manifest.
type Object struct {
	Ref     fleet.ObjectRef
	Mapping Mapping
	Mode    manifest.Mode
	// Sealed objects have values of Secrets in them: no answer of the API server about them is shown as it is.
	Sealed bool
	// ignored are the rules that leave fields of it to others.
	ignored Ignore
	// at is the only version of the object that the apply is for; empty: any.
	at   string
	data []byte
}

// defaultNamespace is where an object of a namespaced kind goes that names no namespace, as with Flux.
const defaultNamespace = "default"

// Place returns ref with the namespace that the kind demands: none for a cluster-scoped kind, a default for the rest.
func (m Mapping) Place(ref fleet.ObjectRef) fleet.ObjectRef {
	switch {
	case !m.Namespaced:
		ref.Namespace = ""
	case ref.Namespace == "":
		ref.Namespace = defaultNamespace
	}
	return ref
}

// dropped are metadata fields that only the API server may set. An apply that has them fails or conflicts.
var dropped = []string{"creationTimestamp", "deletionTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid"}

// stripped are annotations and labels that Flux removes, from what it applies and from what is there.
var (
	strippedAnnotations = []string{fleet.LastAppliedAnnotation, "kustomize.toolkit.fluxcd.io/checksum", "fluxcd.io/sync-checksum"}
	strippedLabels      = []string{"fluxcd.io/sync-gc-mark"}
)

// Prepare returns what is sent for content: with owner labels, without what is not for applying, a Secret's stringData in
// its data (otherwise we would own stringData, and an edit of data would go unnoticed), and a built-in kind's as Flux
// sends it. Everything else stays byte for byte.
func (m Marks) Prepare(content []byte, ref fleet.ObjectRef, mapping Mapping, owner Owner) (Object, error) {
	content, err := normalized(ref, content)
	if err != nil {
		return Object{}, fmt.Errorf("%s: content: %w: %w", ref, fleet.ErrInvalid, err)
	}
	var object map[string]json.RawMessage
	var metadata map[string]any
	if err := json.Unmarshal(content, &object); err != nil {
		return Object{}, fmt.Errorf("%s: content: %w: %w", ref, fleet.ErrInvalid, err)
	}
	decoder := json.NewDecoder(bytes.NewReader(object["metadata"]))
	decoder.UseNumber()
	if err := decoder.Decode(&metadata); err != nil {
		return Object{}, fmt.Errorf("%s: metadata: %w: %w", ref, fleet.ErrInvalid, err)
	}
	ref = mapping.Place(ref)
	delete(object, "status")
	for _, field := range dropped {
		delete(metadata, field)
	}
	metadata["namespace"] = ref.Namespace
	if ref.Namespace == "" {
		delete(metadata, "namespace")
	}
	labels, annotations := pairs(metadata["labels"]), pairs(metadata["annotations"])
	if !m.Beside {
		for _, key := range strippedLabels {
			delete(labels, key)
		}
		for _, key := range strippedAnnotations {
			delete(annotations, key)
		}
	}
	labels[m.NameLabel], labels[m.NamespaceLabel] = owner.Name, owner.Namespace
	metadata["labels"] = labels
	metadata["annotations"] = annotations
	if len(annotations) == 0 {
		delete(metadata, "annotations")
	}
	if ref.Group == "" && ref.Kind == "Secret" {
		if err := moveStringData(object); err != nil {
			return Object{}, fmt.Errorf("%s: stringData: %w: it is not a map of strings", ref, fleet.ErrInvalid)
		}
	}
	if ref.Group == CRDs.Group && ref.Kind == "CustomResourceDefinition" {
		if object["spec"], err = withoutPlaceholder(object["spec"]); err != nil {
			return Object{}, fmt.Errorf("%s: spec: %w: %w", ref, fleet.ErrInvalid, err)
		}
	}
	if object["metadata"], err = marshal(metadata); err != nil {
		return Object{}, fmt.Errorf("%s: metadata: %w: %w", ref, fleet.ErrInvalid, err)
	}
	data, err := marshal(object)
	if err != nil {
		return Object{}, fmt.Errorf("%s: content: %w: %w", ref, fleet.ErrInvalid, err)
	}
	return Object{Ref: ref, Mapping: mapping, Mode: m.ModeOf(text(labels), text(annotations)), data: data}, nil
}

// marshal escapes nothing for HTML.
func marshal(value any) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(value)
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), err
}

// pairs returns labels or annotations; the API server says what is wrong with a value that is not a string.
func pairs(value any) map[string]any {
	if m, isMap := value.(map[string]any); isMap {
		return m
	}
	return map[string]any{}
}

func text(m map[string]any) map[string]string {
	out := make(map[string]string, len(m))
	for key, value := range m {
		if s, isString := value.(string); isString {
			out[key] = s
		}
	}
	return out
}

func moveStringData(secret map[string]json.RawMessage) error {
	var plain map[string]string
	if err := json.Unmarshal(orNull(secret["stringData"]), &plain); err != nil {
		return err
	}
	delete(secret, "stringData")
	if len(plain) == 0 {
		return nil
	}
	data := map[string]json.RawMessage{}
	if err := json.Unmarshal(orNull(secret["data"]), &data); err != nil {
		return err
	}
	if data == nil {
		data = map[string]json.RawMessage{}
	}
	for key, value := range plain {
		data[key] = json.RawMessage(`"` + base64.StdEncoding.EncodeToString([]byte(value)) + `"`)
	}
	var err error
	secret["data"], err = json.Marshal(data)
	return err
}

func orNull(raw json.RawMessage) json.RawMessage {
	if len(raw) == 0 {
		return json.RawMessage("null")
	}
	return raw
}

// Data is the body that is sent.
func (o Object) Data() []byte { return o.data }
