package git

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/idxfile"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"

	"flotilla.dev/flotilla/hub/source"
)

// add makes a file that is a pack one of the mirror's, with an index, unless ctx ends before that: whoever made the pack
// decides how long it takes.
func (m *mirror) add(ctx context.Context, pack *os.File) error {
	if _, err := pack.Seek(0, io.SeekStart); err != nil {
		return &source.StoreFailure{Err: err}
	}
	written := new(idxfile.Writer)
	parser, err := packfile.NewParser(packfile.NewScanner(&ending{ctx, pack}), written)
	if err != nil {
		return &packError{err}
	}
	sum, err := parser.Parse()
	if err != nil {
		return malformed(ctx, err)
	}
	index, err := written.Index()
	if err != nil {
		return &packError{err}
	}
	if err := m.keepPack(pack.Name(), sum, index); err != nil {
		return &source.StoreFailure{Err: err}
	}
	m.storage.Reindex()
	return nil
}

// keepPack puts a pack and its index to the others. Whoever finds the pack finds the index.
func (m *mirror) keepPack(pack string, sum plumbing.Hash, index *idxfile.MemoryIndex) (err error) {
	if err := os.MkdirAll(m.packDir(), 0o700); err != nil {
		return err
	}
	file, err := os.CreateTemp(m.dir, "received-")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(file.Name()) }() // it is not there any more when all went well
	_, err = idxfile.NewEncoder(file).Encode(index)
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	name := filepath.Join(m.packDir(), "pack-"+sum.String())
	if err := os.Rename(file.Name(), name+".idx"); err != nil {
		return err
	}
	return os.Rename(pack, name+".pack")
}

// ending is a file that cannot be read any more once ctx has ended.
type ending struct {
	ctx  context.Context // it lives as long as what is read
	file io.ReadSeeker
}

// Read implements io.Reader.
func (e *ending) Read(p []byte) (int, error) {
	if e.ctx.Err() != nil {
		return 0, context.Cause(e.ctx)
	}
	return e.file.Read(p)
}

// Seek implements io.Seeker.
func (e *ending) Seek(offset int64, whence int) (int64, error) { return e.file.Seek(offset, whence) }
