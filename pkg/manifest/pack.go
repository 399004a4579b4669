package manifest

import (
	"encoding/binary"
	"fmt"

	"github.com/klauspost/compress/zstd"

	"flotilla.dev/flotilla/pkg/fleet"
)

// A pack is, compressed by zstd: packMagic; the digest of the base (zeros: none); the length of what follows up to the
// blobs; the number of steps; of each step a number of entries to copy from the base after skipping another number of
// them, then a number of new entries, each with its length. Then the blobs that the base has not, in the order of the
// entries; their lengths are the entries' sizes.
const packMagic = "flotilla pack 1\n"

// Pack returns what someone who has the base needs in order to have the target: entries and blobs that the base lacks.
// With no base it carries everything. blob returns a blob of the target.
func Pack(base, target *Manifest, blob func(fleet.Digest) ([]byte, error)) ([]byte, error) {
	old, err := base.records()
	if err != nil {
		return nil, fmt.Errorf("pack: base: %w", err)
	}
	wanted, err := target.records()
	if err != nil {
		return nil, fmt.Errorf("pack: %w", err)
	}
	place := make(map[string]int, len(old))
	for i, record := range old {
		place[string(record)] = i
	}
	var steps []byte
	count := uint64(0)
	for from := 0; len(wanted) > 0; count++ {
		s := nextStep(place, from, wanted)
		from += s.skip + s.copied
		steps = binary.AppendUvarint(steps, uint64(s.skip))
		steps = binary.AppendUvarint(steps, uint64(s.copied))
		steps = binary.AppendUvarint(steps, uint64(s.added))
		wanted = wanted[s.copied:]
		for _, record := range wanted[:s.added] {
			steps = binary.AppendUvarint(steps, uint64(len(record)))
			steps = append(steps, record...)
		}
		wanted = wanted[s.added:]
	}
	head := binary.AppendUvarint(nil, count)
	var baseDigest fleet.Digest
	if base != nil {
		baseDigest = base.Digest()
	}
	out := append([]byte(packMagic), baseDigest[:]...)
	out = binary.AppendUvarint(out, uint64(len(head)+len(steps)))
	out = append(append(out, head...), steps...)
	for _, entry := range lacking(base, target) {
		data, err := blob(entry.Digest)
		if err != nil {
			return nil, fmt.Errorf("pack: %s: %w", entry.Ref, err)
		}
		if len(data) != entry.Size {
			return nil, fmt.Errorf("pack: %s: %w: its blob has %d bytes, not %d", entry.Ref, fleet.ErrInvalid, len(data), entry.Size)
		}
		out = append(out, data...)
	}
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(packWindow))
	if err != nil {
		return nil, fmt.Errorf("pack: %w", err)
	}
	defer encoder.Close()
	return encoder.EncodeAll(out, nil), nil
}

// packWindow bounds the memory of who unpacks.
const packWindow = 4 << 20

// step is a part of the target: entries of the base, then new ones.
type step struct{ skip, copied, added int }

// nextStep finds the next part: a run of entries that the base has one after the other, and the run of new ones that
// follows. Both lists are sorted alike, so what they share is in the same order in both.
func nextStep(place map[string]int, from int, wanted [][]byte) step {
	var s step
	if at, has := place[string(wanted[0])]; has {
		s.skip = at - from
		for s.copied < len(wanted) && isAt(place, wanted[s.copied], at+s.copied) {
			s.copied++
		}
	}
	for _, record := range wanted[s.copied:] {
		if _, has := place[string(record)]; has {
			break
		}
		s.added++
	}
	return s
}

func isAt(place map[string]int, record []byte, at int) bool {
	i, has := place[string(record)]
	return has && i == at
}

// records are the encoded entries; none of a nil manifest.
func (m *Manifest) records() ([][]byte, error) {
	if m == nil {
		return nil, nil
	}
	return records(m.Encode())
}

// lacking are the entries of the target whose blobs the base has not, each blob once.
func lacking(base, target *Manifest) []Entry {
	has := map[fleet.Digest]bool{}
	if base != nil {
		for _, entry := range base.Entries {
			has[entry.Digest] = true
		}
	}
	var out []Entry
	for _, entry := range target.Entries {
		if !has[entry.Digest] {
			has[entry.Digest] = true
			out = append(out, entry)
		}
	}
	return out
}
