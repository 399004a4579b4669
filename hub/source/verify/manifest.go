package verify

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// manifest is what is read of the manifest of a signature.
type manifest struct {
	Layers layers `json:"layers"`
}

// layers are the first of a manifest. How many there may be is not the hub's to hold.
type layers []ocispec.Descriptor

// Bounds of a signature's manifest.
const (
	maxManifest = 1 << 20
	maxLayers   = 10 * maxSignatures
)

// parseManifest reads a manifest. Its errors are words for people.
func parseManifest(raw []byte) (*manifest, error) {
	if len(raw) > maxManifest {
		return nil, fmt.Errorf("its manifest has more than %d MiB", maxManifest>>20)
	}
	var m manifest
	if json.Unmarshal(raw, &m) != nil {
		return nil, errors.New("its manifest is broken")
	}
	return &m, nil
}

func (l *layers) UnmarshalJSON(data []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	if first, err := decoder.Token(); err != nil || first != json.Delim('[') {
		return err
	}
	for decoder.More() && len(*l) < maxLayers {
		var d ocispec.Descriptor
		if err := decoder.Decode(&d); err != nil {
			return err
		}
		*l = append(*l, d)
	}
	return nil
}
