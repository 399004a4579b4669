package printer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"sigs.k8s.io/yaml"
)

// List is objects as `get` gives several of them, in the shape Kubernetes' clients know.
type List struct {
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"`
	Items      []json.RawMessage `json:"items"`
}

// NewList returns a List of items; none is an empty list, not null.
func NewList(items []json.RawMessage) List {
	if items == nil {
		items = []json.RawMessage{}
	}
	return List{APIVersion: "v1", Kind: "List", Items: items}
}

// JSON writes value indented.
func JSON(w io.Writer, value any) error {
	data, err := encode(value)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if err := json.Indent(&out, data, "", "  "); err != nil {
		return err
	}
	out.WriteByte('\n')
	_, err = w.Write(out.Bytes())
	return err
}

// JSONLine writes value as one line.
func JSONLine(w io.Writer, value any) error {
	data, err := encode(value)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if err := json.Compact(&out, data); err != nil {
		return err
	}
	out.WriteByte('\n')
	_, err = w.Write(out.Bytes())
	return err
}

// YAML writes value as one document.
func YAML(w io.Writer, value any) error {
	data, err := encode(value)
	if err != nil {
		return err
	}
	out, err := yaml.JSONToYAML(data)
	if err != nil {
		return fmt.Errorf("encode YAML: %w", err)
	}
	_, err = w.Write(out)
	return err
}

func encode(value any) ([]byte, error) {
	if raw, ok := value.(json.RawMessage); ok {
		return raw, nil
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, fmt.Errorf("encode JSON: %w", err)
	}
	return out.Bytes(), nil
}
