package source

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"os"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Spool is a directory for what comes over the network, until all of it is there: many slow servers would take more memory
// than there is.
type Spool struct{ dir string }

// NewSpool makes the directory, which is this process's own, and empties it.
func NewSpool(dir string) (*Spool, error) {
	if err := os.RemoveAll(dir); err != nil { // what a process left that was killed
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return &Spool{dir}, nil
}

// Spooled is a file of a Spool. It has no name, and goes with whoever has it.
type Spooled struct {
	file *os.File
	sum  hash.Hash
	size int64
}

// File returns an empty file. Its errors, and all of the file's, are StoreFailures.
func (s *Spool) File() (*Spooled, error) {
	file, err := os.CreateTemp(s.dir, "received-")
	if err != nil {
		return nil, &StoreFailure{err}
	}
	if err := os.Remove(file.Name()); err != nil {
		_ = file.Close()
		return nil, &StoreFailure{err}
	}
	return &Spooled{file: file, sum: sha256.New()}, nil
}

// Write implements io.Writer.
func (s *Spooled) Write(p []byte) (int, error) {
	n, err := s.file.Write(p)
	_, _ = s.sum.Write(p[:n]) // a hash never fails
	s.size += int64(n)
	if err != nil {
		return n, &StoreFailure{err}
	}
	return n, nil
}

// Digest is that of what was written.
func (s *Spooled) Digest() fleet.Digest { return fleet.Digest(s.sum.Sum(nil)) }

// Reader reads what was written, from its beginning.
func (s *Spooled) Reader() io.Reader { return &spoolReader{io.NewSectionReader(s.file, 0, s.size)} }

// Bytes are all that was written.
func (s *Spooled) Bytes() ([]byte, error) {
	data := make([]byte, s.size)
	if _, err := io.ReadFull(s.Reader(), data); err != nil {
		return nil, &StoreFailure{fmt.Errorf("read what was received: %w", err)}
	}
	return data, nil
}

// Close gives the room on the disk back.
func (s *Spooled) Close() { _ = s.file.Close() }

type spoolReader struct{ from io.Reader }

func (r *spoolReader) Read(p []byte) (int, error) {
	n, err := r.from.Read(p)
	if err != nil && err != io.EOF {
		err = &StoreFailure{err}
	}
	return n, err
}
