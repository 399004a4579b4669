package decrypt

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"sigs.k8s.io/yaml"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/sops"
)

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
	switch {
	case sops.Disabled(object):
		return document, nil
	case sops.Whole(object):
		data, err := json.Marshal(object)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrNotSOPS, err)
		}
		return k.convert(ctx, data, JSON, JSON)
	}
	values := sops.Values(object)
	if len(values) == 0 {
		return document, nil
	}
	data, _ := object["data"].(map[string]any) // it has the values
	for _, key := range slices.Sorted(maps.Keys(values)) {
		format, _ := sops.Detect(values[key])
		plain, err := k.convert(ctx, values[key], format, sops.FormatOf(key))
		if err != nil {
			return nil, fmt.Errorf("data[%s]: %w", key, err)
		}
		data[key] = base64.StdEncoding.EncodeToString(plain)
	}
	return json.Marshal(object)
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
