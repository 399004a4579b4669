package inventory

import (
	"bytes"
	"encoding/json"
	"fmt"

	"flotilla.dev/flotilla/pkg/fleet"
)

// maxShard bounds a shard's encoding. Far below what a ConfigMap may hold (1 MiB): a change of one object writes its
// shard twice.
const maxShard = 64 << 10

// line is an Entry as it is kept: one line of JSON, for people to read too.
type line struct {
	Group     string       `json:"group,omitempty"`
	Version   string       `json:"version"`
	Kind      string       `json:"kind"`
	Namespace string       `json:"namespace,omitempty"`
	Name      string       `json:"name"`
	UID       string       `json:"uid,omitempty"`
	Applied   fleet.Digest `json:"applied,omitzero"`
	Kept      bool         `json:"kept,omitempty"`
	Protected bool         `json:"protected,omitempty"`
	Fresh     bool         `json:"fresh,omitempty"`
	Going     bool         `json:"going,omitempty"`
	Resolved  bool         `json:"resolved,omitempty"`
	Secret    bool         `json:"secret,omitempty"`
}

// cost is what an entry takes at most, with a UID and a digest even where it has none yet: an entry must not outgrow
// its shard.
func cost(e Entry) int {
	const fields = 300 // names of the fields, punctuation, a UID, a digest
	return fields + len(e.Ref.Group) + len(e.Ref.Version) + len(e.Ref.Kind) + len(e.Ref.Namespace) + len(e.Ref.Name)
}

func encode(entries []Entry) string {
	var out bytes.Buffer
	for _, e := range entries {
		data, err := json.Marshal(line{
			e.Ref.Group, e.Ref.Version, e.Ref.Kind, e.Ref.Namespace, e.Ref.Name, e.UID, e.Applied, e.Kept, e.Protected, e.Fresh, e.Going, e.Resolved, e.Secret,
		})
		if err != nil {
			panic(fmt.Sprintf("encode inventory: %v", err)) // strings and digests always encode
		}
		out.Write(data)
		out.WriteByte('\n')
	}
	return out.String()
}

func decode(data string) ([]Entry, error) {
	var entries []Entry
	decoder := json.NewDecoder(bytes.NewReader([]byte(data)))
	for decoder.More() {
		var l line
		if err := decoder.Decode(&l); err != nil {
			return nil, err
		}
		if l.Kind == "" || l.Name == "" {
			return nil, fmt.Errorf("%w: an entry without kind or name", fleet.ErrInvalid)
		}
		ref := fleet.ObjectRef{Group: l.Group, Version: l.Version, Kind: l.Kind, Namespace: l.Namespace, Name: l.Name}
		entries = append(entries, Entry{ref, l.UID, l.Applied, l.Kept, l.Protected, l.Fresh, l.Going, l.Resolved, l.Secret})
	}
	return entries, nil
}
