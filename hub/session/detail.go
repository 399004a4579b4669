package session

import (
	"bytes"
	"encoding/json"
	"fmt"

	"flotilla.dev/flotilla/pkg/fleet"
)

// detailOf reads what a spoke tells beside that of every App. What a chart renders, and whatever a webhook answers, comes
// through in it: it is written anew, for what is JSON may still be what no database takes or no terminal should see.
func detailOf(detail []byte) (json.RawMessage, error) {
	if len(detail) == 0 {
		return nil, nil
	}
	if len(detail) > fleet.MaxDetail {
		return nil, fmt.Errorf("detail: %w: it has %d bytes; %d are allowed", fleet.ErrInvalid, len(detail), fleet.MaxDetail)
	}
	var status fleet.HelmStatus
	if err := json.Unmarshal(detail, &status); err != nil {
		return nil, fmt.Errorf("detail: %w: %w", fleet.ErrInvalid, err)
	}
	known, err := json.Marshal(status)
	if err != nil {
		return nil, fmt.Errorf("detail: %w: %w", fleet.ErrInvalid, err)
	}
	decoder := json.NewDecoder(bytes.NewReader(known))
	decoder.UseNumber()
	var tree any
	if err := decoder.Decode(&tree); err != nil {
		return nil, fmt.Errorf("detail: %w", err)
	}
	return json.Marshal(clipAll(tree))
}

// clipAll clips each text in JSON that was decoded.
func clipAll(value any) any {
	switch value := value.(type) {
	case string:
		return clip(value, maxText)
	case []any:
		for i := range value {
			value[i] = clipAll(value[i])
		}
	case map[string]any:
		clipped := make(map[string]any, len(value))
		for key, inner := range value {
			clipped[clip(key, maxText)] = clipAll(inner)
		}
		return clipped
	}
	return value
}
