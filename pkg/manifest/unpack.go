package manifest

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Unpack returns the manifest that a pack leads to from the base, and the blobs that the base has not. The manifest is
// the one of the wanted digest, and every blob what its digest says, or there is an error and nothing else. A pack made
// for another base is fleet.ErrConflict; any other that does not fit is fleet.ErrInvalid. Before the manifest is
// verified no more than its bound is read, and after that no more than its entries say.
func Unpack(pack []byte, base *Manifest, want fleet.Digest) (*Manifest, Blobs, error) {
	decoder, err := zstd.NewReader(bytes.NewReader(pack), zstd.WithDecoderConcurrency(1),
		zstd.WithDecoderMaxWindow(packWindow), zstd.WithDecoderMaxMemory(2*packWindow))
	if err != nil {
		return nil, nil, fmt.Errorf("unpack: %w: %w", fleet.ErrInvalid, err)
	}
	defer decoder.Close()
	u := unpacker{from: bufio.NewReader(decoder)}
	m, blobs, err := u.unpack(base, want)
	if err != nil {
		if !errors.Is(err, fleet.ErrConflict) {
			err = fmt.Errorf("%w: %w", fleet.ErrInvalid, err)
		}
		return nil, nil, fmt.Errorf("unpack: %w", err)
	}
	return m, blobs, nil
}

type unpacker struct {
	from *bufio.Reader
}

func (u *unpacker) unpack(base *Manifest, want fleet.Digest) (*Manifest, Blobs, error) {
	head := make([]byte, len(packMagic)+len(want))
	if _, err := io.ReadFull(u.from, head); err != nil {
		return nil, nil, err
	}
	if !bytes.HasPrefix(head, []byte(packMagic)) {
		return nil, nil, fmt.Errorf("it does not begin with %q", packMagic)
	}
	var has fleet.Digest
	if base != nil {
		has = base.Digest()
	}
	if made := fleet.Digest(head[len(packMagic):]); made != has {
		return nil, nil, fmt.Errorf("%w: it is for another base, %s", fleet.ErrConflict, made)
	}
	length, err := binary.ReadUvarint(u.from)
	if err != nil {
		return nil, nil, err
	}
	if length > maxEncoded {
		return nil, nil, fmt.Errorf("%d bytes of entries are more than the %d that a manifest may have", length, maxEncoded)
	}
	steps, err := read(u.from, int(length))
	if err != nil {
		return nil, nil, err
	}
	encoded, err := assemble(base, steps)
	if err != nil {
		return nil, nil, err
	}
	if got := fleet.DigestOf(encoded); got != want {
		return nil, nil, fmt.Errorf("it leads to manifest %s instead of %s", got, want)
	}
	m, err := Decode(encoded)
	if err != nil {
		return nil, nil, err
	}
	blobs, err := u.blobs(lacking(base, m))
	return m, blobs, err
}

func (u *unpacker) blobs(entries []Entry) (Blobs, error) {
	blobs := make(Blobs, len(entries))
	for _, entry := range entries {
		data, err := read(u.from, entry.Size)
		if err != nil {
			return nil, fmt.Errorf("blob of %s: %w", entry.Ref, err)
		}
		if fleet.DigestOf(data) != entry.Digest {
			return nil, fmt.Errorf("blob of %s is not what its digest says", entry.Ref)
		}
		blobs[entry.Digest] = data
	}
	if _, err := u.from.ReadByte(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more in it than the manifest names")
	}
	return blobs, nil
}

// read reads that many bytes; memory grows as they come, so that a lie about their number costs nothing.
func read(from io.Reader, length int) ([]byte, error) {
	var out bytes.Buffer
	n, err := io.Copy(&out, io.LimitReader(from, int64(length)))
	if err == nil && n < int64(length) {
		err = io.ErrUnexpectedEOF
	}
	return out.Bytes(), err
}

// assemble makes the target's encoding out of the base's entries and the new ones.
func assemble(base *Manifest, steps []byte) ([]byte, error) {
	old, err := base.records()
	if err != nil {
		return nil, err
	}
	broken := errors.New("its entries are malformed")
	number := func() int {
		value, n := binary.Uvarint(steps)
		if n <= 0 || value > maxEncoded {
			steps = nil
			return -1
		}
		steps = steps[n:]
		return int(value)
	}
	out := []byte(header)
	add := func(record []byte) bool {
		out = append(append(out, record...), '\n')
		return len(out) <= maxEncoded && !bytes.ContainsRune(record, '\n')
	}
	from := 0
	for range max(0, number()) {
		skip, copied, added := number(), number(), number()
		if skip < 0 || copied < 0 || added < 0 || skip > len(old)-from || copied > len(old)-from-skip {
			return nil, broken
		}
		from += skip
		for _, record := range old[from : from+copied] {
			if !add(record) {
				return nil, broken
			}
		}
		from += copied
		for range added {
			length := number()
			if length < 0 || length > len(steps) || !add(steps[:length]) {
				return nil, broken
			}
			steps = steps[length:]
		}
	}
	if len(steps) > 0 {
		return nil, broken
	}
	return out, nil
}
