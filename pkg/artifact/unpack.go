package artifact

import (
	"context"
	"fmt"
	"io"
	"strings"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Unpack extracts an archive into the store and returns the Tree of it, without what the rules leave out (nil leaves out
// nothing; the archive's own ignore files are read into them). Blobs are stored before it returns; those of an archive that is
// refused midway are swept as any that nothing names.
func Unpack(ctx context.Context, store Store, r io.Reader, limits ExtractLimits, rules *Ignore) (*Tree, error) {
	if rules != nil && rules.Err() != nil {
		return nil, rules.Err()
	}
	var files []File
	batch := map[fleet.Digest][]byte{}
	size := 0
	flush := func() error {
		if err := store.Put(ctx, batch); err != nil {
			return err
		}
		batch, size = map[fleet.Digest][]byte{}, 0
		return nil
	}
	warnings, err := Extract(ctx, r, limits, func(file Extracted) error {
		data := make([]byte, 0, min(file.Size, 64<<10)+1) // a size is only a claim until the bytes are there
		data, err := readInto(data, file.Content)
		if err != nil {
			return err
		}
		if dir, isIgnore := ignoreDir(file.Path); isIgnore && rules != nil {
			if err := rules.Read(dir, data); err != nil {
				return err
			}
		}
		digest := fleet.DigestOf(data)
		files = append(files, File{Path: file.Path, Mode: file.Mode, Digest: digest, Size: int64(len(data))})
		batch[digest] = data
		if size += len(data); size >= maxBatch || len(batch) >= maxBatchBlobs {
			return flush()
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := flush(); err != nil {
		return nil, err
	}
	kept := files[:0]
	for _, file := range files {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if rules == nil || !rules.Match(file.Path) {
			kept = append(kept, file)
		}
	}
	tree, err := NewTree(kept)
	if err != nil {
		return nil, fmt.Errorf("unpack: %w", err)
	}
	tree.Warnings = warnings
	return tree, nil
}

// Bounds of what is held before it is stored.
const (
	maxBatch      = 4 << 20
	maxBatchBlobs = 500
)

// ignoreDir is the directory of an ignore file.
func ignoreDir(path string) (string, bool) {
	if path == IgnoreFile {
		return ".", true
	}
	return strings.CutSuffix(path, "/"+IgnoreFile)
}

// readInto appends what the reader has.
func readInto(data []byte, r io.Reader) ([]byte, error) {
	for {
		if len(data) == cap(data) {
			data = append(data, 0)[:len(data)]
		}
		n, err := r.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		if err == io.EOF {
			return data, nil
		}
		if err != nil {
			return nil, err
		}
	}
}
