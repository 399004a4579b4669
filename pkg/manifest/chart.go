package manifest

import (
	"fmt"
	"slices"

	"flotilla.dev/flotilla/pkg/fleet"
)

// The Manifest of a HelmRelease has no objects: they are rendered in the cluster. Its parts are what is to be released,
// and the chart's archive in pieces, so that a change of values ships the first alone.
const (
	kindRelease = "Release"
	kindChart   = "Chart"
)

// chartPiece is the size of the pieces of a chart, but for the last.
const chartPiece = 1 << 20

// NewChart makes the Manifest of a HelmRelease, of what is to be released (a flux.HelmPlan, encoded) and the chart's
// archive, and the blobs. An error wraps fleet.ErrInvalid.
func NewChart(plan, archive []byte) (*Manifest, Blobs, error) {
	switch {
	case len(plan) == 0 || len(archive) == 0:
		return nil, nil, fmt.Errorf("%w: a chart without content", fleet.ErrInvalid)
	case len(plan) > MaxObjectSize:
		return nil, nil, fmt.Errorf("%w: the values and what else is said of the release have %d bytes; %d are allowed", fleet.ErrInvalid, len(plan), MaxObjectSize)
	case len(archive) > MaxSize:
		return nil, nil, fmt.Errorf("%w: the chart's archive has %d bytes; %d are allowed", fleet.ErrInvalid, len(archive), MaxSize)
	}
	m, blobs := &Manifest{}, Blobs{}
	add := func(kind, name string, content []byte) {
		ref := fleet.ObjectRef{Group: partGroup, Version: partVersion, Kind: kind, Name: name}
		digest := fleet.DigestOf(content)
		m.Entries = append(m.Entries, Entry{Ref: ref, Digest: digest, Size: len(content), Stage: StageOf(ref), Group: GroupOf(ref), Part: true})
		blobs[digest] = content
	}
	add(kindRelease, "release", plan)
	n := 0
	for piece := range slices.Chunk(archive, chartPiece) {
		add(kindChart, fmt.Sprintf("%04d", n), piece)
		n++
	}
	slices.SortFunc(m.Entries, Entry.Compare)
	m.encoded = m.Encode()
	return m, blobs, nil
}

// Chart returns the digests of what NewChart was given: the plan, and the archive's pieces in order. Zero and nil: the
// Manifest is not a HelmRelease's.
func (m *Manifest) Chart() (plan fleet.Digest, archive []fleet.Digest) {
	for _, entry := range m.Entries { // pieces are in order of their names
		switch {
		case !entry.Part:
		case entry.Ref.Kind == kindRelease:
			plan = entry.Digest
		case entry.Ref.Kind == kindChart:
			archive = append(archive, entry.Digest)
		}
	}
	return plan, archive
}
