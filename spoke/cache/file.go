package cache

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

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

// replaceFile writes a file beside and moves it into place, on disk to stay: a crash leaves the old one or the new.
func replaceFile(path string, data []byte) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	temporary, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return err
	}
	_, err = temporary.Write(data)
	err = errors.Join(err, temporary.Sync(), temporary.Close())
	if err == nil {
		err = os.Rename(temporary.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temporary.Name()))
	}
	return syncDir(dir)
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
