package artifact

import (
	"context"
	"fmt"
	"io"
	"path"
)

// Unpack extracts an archive into the store and returns the Tree of it. What the rules leave out is neither held nor stored;
// nil leaves out nothing. The archive's own patterns are not read into them: see Ignore.ReadArchive. Blobs are stored before
// it returns; those of an archive that is refused midway are swept as any that nothing names.
//
// Errors are Extract's, the store's as they are, and NewTree's.
func Unpack(ctx context.Context, store Store, r io.Reader, limits ExtractLimits, rules *Ignore) (*Tree, error) {
	writer := NewWriter(store)
	var files []File
	warnings, err := Extract(ctx, r, limits, func(file Extracted) error {
		if rules != nil && rules.Match(file.Path) {
			return nil
		}
		content, err := io.ReadAll(file.Content)
		if err != nil {
			return err
		}
		digest, err := writer.Add(ctx, content)
		files = append(files, File{Path: file.Path, Mode: file.Mode, Digest: digest, Size: int64(len(content))})
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := writer.Flush(ctx); err != nil {
		return nil, err
	}
	tree, err := NewTree(files)
	if err != nil {
		return nil, fmt.Errorf("unpack: %w", err)
	}
	tree.Warnings = warnings
	return tree, nil
}

// ReadArchive adds the patterns of all ignore files of an archive. They have to be known before its first file is looked at,
// so it is read once for them, and once for the files. Errors are Read's and Extract's.
func (i *Ignore) ReadArchive(ctx context.Context, r io.Reader, limits ExtractLimits) error {
	if i.flaw != nil {
		return i.flaw
	}
	_, err := Extract(ctx, r, limits, func(file Extracted) error {
		if path.Base(file.Path) != IgnoreFile {
			return nil
		}
		if file.Size > MaxIgnoreFile {
			return &ArchiveError{Entry: file.Path, Limit: true, Text: fmt.Sprintf("it has %d bytes; a file of patterns may have %d", file.Size, MaxIgnoreFile)}
		}
		content, err := io.ReadAll(file.Content)
		if err != nil {
			return err
		}
		return i.Read(path.Dir(file.Path), content)
	})
	return err
}
