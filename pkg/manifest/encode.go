package manifest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"flotilla.dev/flotilla/pkg/fleet"
)

// The encoding is a line that says what follows, then one line of JSON an entry. A field that a reader does not know
// is left alone, so that an older spoke can read a newer hub's manifest.
const (
	header = "flotilla manifest 1\n"
	// maxEncoded bounds the encoding: MaxObjects entries of 800 bytes; 250 is common.
	maxEncoded = 16 << 20
)

// Encode returns the deterministic encoding that the manifest's digest is over.
func (m *Manifest) Encode() []byte {
	if m.encoded != nil {
		return m.encoded
	}
	var out bytes.Buffer
	out.WriteString(header)
	for _, entry := range m.Entries {
		line, err := json.Marshal(entry)
		if err != nil {
			panic(fmt.Sprintf("encode manifest: %v", err)) // strings, numbers and digests always encode
		}
		out.Write(line)
		out.WriteByte('\n')
	}
	return out.Bytes()
}

// Decode reads what Encode wrote, of this version or a newer one. Its errors wrap fleet.ErrInvalid. Whoever got the
// bytes from elsewhere compares their digest first.
func Decode(data []byte) (*Manifest, error) {
	if len(data) > maxEncoded {
		return nil, fmt.Errorf("decode manifest: %w: %d bytes are more than the %d that one may have", fleet.ErrInvalid, len(data), maxEncoded)
	}
	lines, err := records(data)
	if err != nil {
		return nil, err
	}
	m := &Manifest{Entries: slices.Grow([]Entry(nil), len(lines)), encoded: bytes.Clone(data)}
	seen := make(map[fleet.ObjectRef]bool, len(lines))
	size := 0
	for i, line := range lines {
		entry, err := decodeEntry(line)
		if err == nil && i > 0 && m.Entries[i-1].Compare(entry) >= 0 {
			err = fmt.Errorf("%s is out of order", entry.Ref)
		}
		if err == nil && seen[entry.Ref.ID()] {
			err = fmt.Errorf("%s is there twice", entry.Ref)
		}
		if size += entry.Size; err == nil && size > MaxSize {
			err = fmt.Errorf("the objects have more than %d bytes together", MaxSize)
		}
		if err != nil {
			return nil, fmt.Errorf("decode manifest: %w: entry %d: %w", fleet.ErrInvalid, i, err)
		}
		seen[entry.Ref.ID()] = true
		m.Entries = append(m.Entries, entry)
	}
	return m, nil
}

// records returns the lines of an encoded manifest, one an entry.
func records(data []byte) ([][]byte, error) {
	rest, found := bytes.CutPrefix(data, []byte(header))
	if !found {
		return nil, fmt.Errorf("decode manifest: %w: it does not begin with %q", fleet.ErrInvalid, header)
	}
	if len(rest) == 0 {
		return nil, nil
	}
	if rest[len(rest)-1] != '\n' {
		return nil, fmt.Errorf("decode manifest: %w: it is cut off", fleet.ErrInvalid)
	}
	lines := bytes.Split(rest[:len(rest)-1], []byte("\n"))
	if len(lines) > MaxObjects {
		return nil, fmt.Errorf("decode manifest: %w: it has %d objects; %d are allowed", fleet.ErrInvalid, len(lines), MaxObjects)
	}
	return lines, nil
}

func decodeEntry(line []byte) (Entry, error) {
	var entry Entry
	if err := json.Unmarshal(line, &entry); err != nil {
		return entry, err
	}
	switch {
	case entry.Ref.Kind == "" || entry.Ref.Name == "" || entry.Ref.Version == "":
		return entry, fmt.Errorf("reference %q is not complete", entry.Ref)
	case entry.Digest.IsZero() || entry.Size <= 0 || entry.Size > MaxObjectSize:
		return entry, fmt.Errorf("%s has no digest, or its size %d is not possible", entry.Ref, entry.Size)
	case entry.Stage > StageRest || entry.SSA > SSAIgnore:
		// What this version does not know how to apply it must not apply in another way.
		return entry, fmt.Errorf("%s has stage %d and ssa %d, of which one is unknown", entry.Ref, entry.Stage, entry.SSA)
	}
	return entry, nil
}
