package cache

import (
	"bytes"
	"fmt"

	"flotilla.dev/flotilla/pkg/fleet"
)

// magic begins a checksummed file; the digest of the rest follows in the same line.
const magic = "flotilla cache 1 "

func seal(content []byte) []byte {
	return append([]byte(magic+fleet.DigestOf(content).String()+"\n"), content...)
}

func open(data []byte) ([]byte, error) {
	head, content, found := bytes.Cut(data, []byte("\n"))
	if !found || string(head) != magic+fleet.DigestOf(content).String() {
		return nil, fmt.Errorf("%w: its checksum does not fit", fleet.ErrInvalid)
	}
	return content, nil
}
