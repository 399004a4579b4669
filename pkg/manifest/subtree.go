package manifest

import (
	"encoding/hex"
	"fmt"
	"slices"

	"flotilla.dev/flotilla/pkg/fleet"
)

// A Manifest of a build that is made at the spoke has no objects: its entries are parts of what is to be built. They
// travel, and are kept, like any others. A spoke that does not know them finds kinds that no cluster has, and applies
// nothing.
const (
	partGroup   = "build.fleet.flotilla.dev"
	partVersion = "v1"
	kindBuild   = "Build"
	kindFile    = "File"
)

// NewSubtree makes the Manifest of a build to be made at the spoke, of its instructions and the files it looks at, and
// the blobs. An error wraps fleet.ErrInvalid and names the file.
func NewSubtree(instructions []byte, files map[string][]byte) (*Manifest, Blobs, error) {
	m, blobs := &Manifest{}, Blobs{}
	size := 0
	add := func(kind, name, path string, content []byte) error {
		digest := fleet.DigestOf(content)
		if name == "" {
			name = hex.EncodeToString(digest[:])
		}
		if len(content) == 0 || blobs[digest] != nil {
			return nil // the instructions have the digest and need no more
		}
		switch size += len(content); {
		case len(content) > MaxObjectSize:
			return fmt.Errorf("%w: %s has %d bytes; a file of a build that is made in the clusters may have %d", fleet.ErrInvalid, path, len(content), MaxObjectSize)
		case size > MaxSize:
			return fmt.Errorf("%w: with %s a build that is made in the clusters has more than %d bytes", fleet.ErrInvalid, path, MaxSize)
		case len(m.Entries) == MaxObjects:
			return fmt.Errorf("%w: a build that is made in the clusters may have %d files", fleet.ErrInvalid, MaxObjects)
		}
		ref := fleet.ObjectRef{Group: partGroup, Version: partVersion, Kind: kind, Name: name}
		m.Entries = append(m.Entries, Entry{Ref: ref, Digest: digest, Size: len(content), Stage: StageOf(ref), Group: GroupOf(ref), Part: true})
		blobs[digest] = content
		return nil
	}
	if err := add(kindBuild, "build", "what is to be built", instructions); err != nil {
		return nil, nil, err
	}
	paths := make([]string, 0, len(files))
	for path := range files {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	for _, path := range paths {
		if err := add(kindFile, "", path, files[path]); err != nil {
			return nil, nil, err
		}
	}
	slices.SortFunc(m.Entries, Entry.Compare)
	m.encoded = m.Encode()
	return m, blobs, nil
}

// Build returns the digest of the instructions of a build that is to be made at the spoke; zero: the Manifest has objects.
func (m *Manifest) Build() fleet.Digest {
	for _, entry := range m.Entries {
		if entry.Part && entry.Ref.Kind == kindBuild {
			return entry.Digest
		}
	}
	return fleet.Digest{}
}
