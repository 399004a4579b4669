package git

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"

	"flotilla.dev/flotilla/hub/source"
)

// maxChain is the longest chain of deltas that Git itself makes.
const maxChain = 4095

// checkPack reads through a pack without keeping anything, and refuses one whose objects, inflated and with their
// deltas applied, are larger than the limits: what indexes it afterwards takes its word.
func checkPack(ctx context.Context, pack io.ReadSeeker, limits Limits) error {
	if _, err := pack.Seek(0, io.SeekStart); err != nil {
		return &source.StoreFailure{Err: err}
	}
	scanner := packfile.NewScanner(&ending{ctx, pack})
	_, count, err := scanner.Header()
	if err != nil {
		return malformed(ctx, err)
	}
	if int64(count) > int64(limits.Objects) {
		return &source.TooLargeError{Problem: fmt.Sprintf("it has more than %d objects, history included; a source may have that many", limits.Objects)}
	}
	chains := map[int64]int{} // by the offset of an object
	sum := int64(0)
	for range count {
		header, err := scanner.NextObjectHeader()
		if err != nil {
			return malformed(ctx, err)
		}
		var head prefix
		size := header.Length
		if size <= limits.Object {
			if _, _, err = scanner.NextObject(&head); err != nil {
				return malformed(ctx, err)
			}
		}
		switch header.Type {
		case plumbing.OFSDeltaObject:
			depth := chains[header.OffsetReference] + 1
			if depth > maxChain {
				return &packError{errors.New("a chain of deltas is too long")}
			}
			chains[header.Offset] = depth
			size = max(size, head.target())
		case plumbing.REFDeltaObject:
			size = max(size, head.target())
		}
		if size > limits.Object {
			return &source.TooLargeError{Problem: fmt.Sprintf(
				"an object in its history has %d MiB; a source may have objects of %d MiB", size>>20, limits.Object>>20)}
		}
		if sum += size; sum > limits.Inflated {
			return &source.TooLargeError{Problem: fmt.Sprintf(
				"the objects of its history have more than %d MiB together, unpacked; a source may have that much", limits.Inflated>>20)}
		}
	}
	return nil
}

// packError is a pack that is none. What is wrong with it is of no use to a person.
type packError struct{ err error }

func (e *packError) Error() string { return "malformed pack: " + e.err.Error() }

// malformed is the error of reading a pack: the disk's, the end of ctx, or else the pack's.
func malformed(ctx context.Context, err error) error {
	var path *fs.PathError
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &path):
		return &source.StoreFailure{Err: err}
	}
	return &packError{err}
}

// prefix keeps the first bytes that are written to it.
type prefix struct{ bytes.Buffer }

func (p *prefix) Write(data []byte) (int, error) {
	if room := 2*binary.MaxVarintLen64 - p.Len(); room > 0 {
		_, _ = p.Buffer.Write(data[:min(room, len(data))]) // a buffer never fails
	}
	return len(data), nil
}

// target is the size of what a delta makes: the second number in it. One that does not say is left to the parser.
func (p *prefix) target() int64 {
	_, n := binary.Uvarint(p.Bytes())
	if n <= 0 {
		return 0
	}
	size, n := binary.Uvarint(p.Bytes()[n:])
	if n <= 0 || size > 1<<62 {
		return 1 << 62
	}
	return int64(size)
}
