package artifact

import (
	"encoding/binary"
	"fmt"

	"flotilla.dev/flotilla/pkg/fleet"
)

// magic1 begins a Tree that a hub before this one stored in one blob.
const magic1 = "flotilla tree 1\n"

// decode1 reads such a Tree: the number of files; of each the bytes that its path shares with the one before, the rest of
// the path, mode, size and digest.
func decode1(data []byte) ([]File, error) {
	r := reader{rest: data[len(magic1):]}
	return r.files()
}

// files reads a number of files, and nothing else.
func (r *reader) files() ([]File, error) {
	count := r.number()
	// A file takes more than its digest, so the count cannot make more room than the data has.
	if count > MaxEntries || count > uint64(len(r.rest)/len(fleet.Digest{})) {
		return nil, fmt.Errorf("%w: it says it has %d files", fleet.ErrInvalid, count)
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
		return nil, fmt.Errorf("%w: it is cut off or malformed", fleet.ErrInvalid)
	}
	return files, nil
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
