package render

import (
	"encoding/binary"

	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/fleet"
)

// encodeEntries is what a directory of the tree has, by name; each file's digest and size come along if that is wanted.
func encodeEntries(entries []artifact.Entry, digests bool) []byte {
	var out []byte
	for _, e := range entries {
		out = appendText(append(out, letter(e.IsDir)), e.Name)
		if digests && !e.IsDir {
			out = appendKnown(out, e.Digest, e.Size)
		}
	}
	return out
}

// usualEntry is about what an entry takes, a file's with a digest.
const usualEntry = 48

func decodeEntries(data []byte, digests bool) (map[string]entry, error) {
	entries := make(map[string]entry, len(data)/usualEntry)
	for len(data) > 0 {
		e := entry{isDir: data[0] == letter(true)}
		name, rest, err := takeText(data[1:])
		if err != nil {
			return nil, err
		}
		if digests && !e.isDir {
			if rest, err = e.takeKnown(rest); err != nil {
				return nil, err
			}
		}
		entries[string(name)], data = e, rest
	}
	return entries, nil
}

// encodeEntry is what is at a path of the tree.
func encodeEntry(file artifact.File, isFile bool) []byte {
	if !isFile {
		return []byte{letter(true)}
	}
	return appendKnown([]byte{letter(false)}, file.Digest, file.Size)
}

func decodeEntry(data []byte) (entry, error) {
	if len(data) == 0 {
		return entry{}, errMalformed
	}
	e, rest, err := entry{isDir: data[0] == letter(true)}, data[1:], error(nil)
	if !e.isDir {
		rest, err = e.takeKnown(rest)
	}
	if err == nil && len(rest) > 0 {
		err = errMalformed
	}
	return e, err
}

// appendKnown adds what is known of a file without reading it.
func appendKnown(out []byte, digest fleet.Digest, size int64) []byte {
	return binary.AppendVarint(append(out, digest[:]...), size)
}

// takeKnown takes what appendKnown added from the front of data.
func (e *entry) takeKnown(data []byte) (rest []byte, err error) {
	if len(data) < len(e.digest) {
		return nil, errMalformed
	}
	data = data[copy(e.digest[:], data):]
	size, n := binary.Varint(data)
	if n <= 0 {
		return nil, errMalformed
	}
	e.size = size
	return data[n:], nil
}

func letter(isDir bool) byte {
	if isDir {
		return 'd'
	}
	return 'f'
}
