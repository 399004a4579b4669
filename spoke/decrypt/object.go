package decrypt

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"flotilla.dev/flotilla/pkg/fleet"
)

// disabledAnnotation of value "disabled" has an object left as it is.
const disabledAnnotation = "kustomize.toolkit.fluxcd.io/decrypt"

// Object decrypts a Kubernetes object, a document of JSON or YAML, into JSON. Of an object that is not encrypted itself
// and is a Secret, each value of its data that is a document of SOPS is decrypted into the format that its key says. An
// object with nothing to decrypt, or whose annotation says so, comes back as it is. As in Flux only the values tell
// whether they were changed: kustomize changes what is around them. An error wraps one of those of this package; the
// caller knows the object's name.
func (k *Keys) Object(ctx context.Context, document []byte) ([]byte, error) {
	object, err := parseObject(document)
	if err != nil {
		return nil, err
	}
	metadata, _ := object["metadata"].(map[string]any)
	annotations, _ := metadata["annotations"].(map[string]any)
	wanted, _ := annotations[disabledAnnotation].(string)
	sops, _ := object[metadataKey].(map[string]any)
	_, encrypted := sops["mac"].(string)
	switch {
	case strings.EqualFold(wanted, "disabled"):
		return document, nil
	case encrypted:
		data, err := json.Marshal(object)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrNotSOPS, err)
		}
		return k.convert(ctx, data, JSON, JSON)
	case object["kind"] == "Secret":
		changed, err := k.secretData(ctx, object)
		if err != nil || !changed {
			return document, err
		}
		return json.Marshal(object)
	}
	return document, nil
}

// secretData decrypts the values of a Secret's data, and reports whether there were any to decrypt.
func (k *Keys) secretData(ctx context.Context, secret map[string]any) (changed bool, err error) {
	data, _ := secret["data"].(map[string]any)
	for _, key := range slices.Sorted(maps.Keys(data)) {
		text, _ := data[key].(string)
		value, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			continue // the API server says what is wrong with it
		}
		format, encrypted := detect(value)
		if !encrypted {
			continue
		}
		plain, err := k.convert(ctx, value, format, FormatOf(key))
		if err != nil {
			return false, fmt.Errorf("data[%s]: %w", key, err)
		}
		data[key] = base64.StdEncoding.EncodeToString(plain)
		changed = true
	}
	return changed, nil
}

func parseObject(document []byte) (map[string]any, error) {
	data := document
	if !json.Valid(data) {
		var err error
		if data, err = yaml.YAMLToJSONStrict(data); err != nil {
			return nil, fmt.Errorf("%w: not a YAML document", fleet.ErrInvalid) // the cause would show a part of it
		}
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber() // a float64 would lose digits of large integers
	var object map[string]any
	if err := decoder.Decode(&object); err != nil {
		return nil, fmt.Errorf("%w: not an object", fleet.ErrInvalid)
	}
	return object, nil
}
