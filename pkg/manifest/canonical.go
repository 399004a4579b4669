package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"

	"sigs.k8s.io/yaml"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Canonical returns the object's canonical form: JSON with sorted keys, no insignificant white space and nothing
// escaped for HTML. Numbers stay as the object has them; a json.Number keeps its digits.
func Canonical(object map[string]any) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(object); err != nil {
		return nil, fmt.Errorf("canonical form: %w: %w", fleet.ErrInvalid, err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// separator is a line that begins or ends a YAML document. Nothing else in YAML may have it at the start of a line.
var separator = regexp.MustCompile(`(?m)^(---|\.\.\.)(\s|$)`)

// parse reads one document, JSON or YAML. YAML is read as Flux reads what kustomize printed. A document without
// content is nil.
func parse(document []byte) (map[string]any, error) {
	data := document
	if !json.Valid(data) {
		var err error
		if data, err = single(data); err != nil {
			return nil, err
		}
		if data, err = yaml.YAMLToJSONStrict(data); err != nil {
			return nil, err
		}
	}
	return decode(data)
}

// Parse reads a document after its variables were substituted, as Flux does: a key that is there twice is no error.
func Parse(document []byte) (map[string]any, error) {
	data, err := yaml.YAMLToJSON(document)
	if err != nil {
		return nil, err
	}
	return decode(data)
}

func decode(data []byte) (map[string]any, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber() // a float64 would lose digits of large integers
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, err
	}
	object, isObject := value.(map[string]any)
	if value != nil && !isObject {
		return nil, errors.New("not a mapping")
	}
	return object, nil
}

// single returns the one YAML document that has content; the parser would read the first and leave the others out.
func single(data []byte) ([]byte, error) {
	var found []byte
	for _, part := range separator.Split(string(data), -1) {
		if blank.MatchString(part) {
			continue
		}
		if found != nil {
			return nil, errors.New("more than one YAML document")
		}
		found = []byte(part)
	}
	return found, nil
}

// blank is text of white space and comments.
var blank = regexp.MustCompile(`^(\s*(#[^\n]*)?(\n|$))*$`)
