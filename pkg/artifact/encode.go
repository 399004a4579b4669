package artifact

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"flotilla.dev/flotilla/pkg/fleet"
)

// magic begins an encoded Tree and says its version.
const magic = "flotilla tree 1\n"

// Encode returns the deterministic encoding of the tree: the number of files; of each the bytes that its path shares
// with the one before, the rest of the path, mode, size and digest.
func (t *Tree) Encode() []byte {
	out := make([]byte, 0, len(magic)+len(t.Files)*64)
	out = append(out, magic...)
	out = binary.AppendUvarint(out, uint64(len(t.Files)))
	before := ""
	for _, file := range t.Files {
		shared := 0
		for shared < min(len(before), len(file.Path)) && before[shared] == file.Path[shared] {
			shared++
		}
		out = binary.AppendUvarint(out, uint64(shared))
		out = binary.AppendUvarint(out, uint64(len(file.Path)-shared))
		out = append(out, file.Path[shared:]...)
		out = append(out, byte(file.Mode))
		out = binary.AppendUvarint(out, uint64(file.Size))
		out = append(out, file.Digest[:]...)
		before = file.Path
	}
	return out
}

// Decode reads what Encode wrote. Its errors wrap fleet.ErrInvalid.
func Decode(data []byte) (*Tree, error) {
	r := reader{rest: data}
	if string(r.take(uint64(len(magic)))) != magic {
		return nil, fmt.Errorf("decode tree: %w: it does not begin with %q", fleet.ErrInvalid, magic)
	}
	count := r.number()
	// A file takes more than its digest, so the count cannot make more room than the data has.
	if count > MaxEntries || count > uint64(len(r.rest)/len(fleet.Digest{})) {
		return nil, fmt.Errorf("decode tree: %w: it says it has %d files", fleet.ErrInvalid, count)
	}
	files := make([]File, 0, count)
	before := ""
	for range count {
		shared, length := r.number(), r.number()
		if shared > uint64(len(before)) || length > MaxPath {
			r.broken = true
			break
		}
		file := File{Path: before[:shared] + string(r.take(length)), Mode: FileMode(r.byte())}
		size := r.number()
		file.Size = int64(size) // NewTree refuses what overflowed
		copy(file.Digest[:], r.take(uint64(len(file.Digest))))
		files = append(files, file)
		before = file.Path
	}
	if r.broken || len(r.rest) > 0 {
		return nil, fmt.Errorf("decode tree: %w: it is cut off or malformed", fleet.ErrInvalid)
	}
	sorted := slices.IsSortedFunc(files, func(a, b File) int { return cmp.Compare(a.Path, b.Path) })
	if !sorted {
		return nil, fmt.Errorf("decode tree: %w: its files are not sorted", fleet.ErrInvalid)
	}
	tree, err := NewTree(files)
	if err != nil {
		return nil, fmt.Errorf("decode tree: %w", err)
	}
	return tree, nil
}

// reader takes from the front of data; once it has run short it is broken.
type reader struct {
	rest   []byte
	broken bool
}

func (r *reader) take(n uint64) []byte {
	if r.broken || n > uint64(len(r.rest)) {
		r.broken = true
		return nil
	}
	data := r.rest[:n]
	r.rest = r.rest[n:]
	return data
}

func (r *reader) byte() byte {
	if data := r.take(1); data != nil {
		return data[0]
	}
	return 0
}

func (r *reader) number() uint64 {
	n, length := binary.Uvarint(r.rest)
	if length <= 0 {
		r.broken = true
		return 0
	}
	r.rest = r.rest[length:]
	return n
}
