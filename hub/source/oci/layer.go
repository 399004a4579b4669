package oci

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
)

// CopiedLayer is the name of the one file of a Tree whose layer was copied. It is the same for all, so that the same layer is
// the same Tree by whatever tag or manifest.
const CopiedLayer = "artifact.tgz"

// taking makes the Tree of a layer.
type taking struct {
	oci        *OCI
	upstream   source.Upstream
	spec       flux.OCIRepository
	repository *Repository
	layer      ocispec.Descriptor
}

func (t *taking) tree(ctx context.Context) (*artifact.Tree, error) {
	limits := t.oci.config.Limits
	most, whose := limits.Compressed, "a layer"
	copied := t.spec.LayerSelector != nil && t.spec.LayerSelector.Operation == flux.CopyLayer
	if copied {
		most, whose = min(most, limits.File), "one that is copied"
	}
	if t.layer.Size > most {
		return nil, t.upstream.Fail(source.KindLimit, "layer %s has %d bytes; %s may have %d", t.layer.Digest, t.layer.Size, whose, most)
	}
	if copied {
		return t.copied(ctx, most)
	}
	return t.extracted(ctx)
}

// copied is a Tree of the layer as it is.
func (t *taking) copied(ctx context.Context, most int64) (*artifact.Tree, error) {
	content, err := t.repository.ReadBlob(ctx, t.layer, most)
	if err != nil {
		return nil, err
	}
	writer := source.NewWriter(t.oci.config.Store, t.oci.config.Metrics)
	digest, err := writer.Add(ctx, content)
	if err := cmp.Or(err, writer.Flush(ctx)); err != nil {
		return nil, t.unstored(ctx, err)
	}
	return artifact.NewTree([]artifact.File{{Path: CopiedLayer, Digest: digest, Size: int64(len(content))}})
}

// extracted is a Tree of the files in the layer. It is read twice, from a file on disk: what is ignored is known when all of
// it was seen, and nothing that is ignored is held or stored.
func (t *taking) extracted(ctx context.Context) (*artifact.Tree, error) {
	layer, err := t.received(ctx)
	if err != nil {
		return nil, err
	}
	defer layer.Close()
	ignore := artifact.NewIgnore(t.spec.Ignore)
	if err := ignore.Err(); err != nil {
		return nil, t.upstream.Fail(source.KindInvalid, "%s", plain(err))
	}
	if _, err := artifact.Extract(ctx, layer.Reader(), t.oci.config.Limits, func(file artifact.Extracted) error {
		return readIgnore(ignore, file)
	}); err != nil {
		return nil, t.unpacked(err)
	}
	return t.kept(ctx, layer.Reader(), ignore)
}

// readIgnore adds a file's patterns, if it is an ignore file.
func readIgnore(ignore *artifact.Ignore, file artifact.Extracted) error {
	if path.Base(file.Path) != artifact.IgnoreFile {
		return nil
	}
	if file.Size > artifact.MaxIgnoreFile {
		return &artifact.ArchiveError{Entry: file.Path, Limit: true, Text: fmt.Sprintf("it has %d bytes; a file of patterns may have %d", file.Size, artifact.MaxIgnoreFile)}
	}
	content, err := io.ReadAll(file.Content)
	if err != nil {
		return err
	}
	return ignore.Read(path.Dir(file.Path), content)
}

// kept stores the files that are not ignored.
func (t *taking) kept(ctx context.Context, layer io.Reader, ignore *artifact.Ignore) (*artifact.Tree, error) {
	writer := source.NewWriter(t.oci.config.Store, t.oci.config.Metrics)
	var files []artifact.File
	warnings, err := artifact.Extract(ctx, layer, t.oci.config.Limits, func(file artifact.Extracted) error {
		if ignore.Match(file.Path) {
			return nil
		}
		content, err := io.ReadAll(file.Content)
		if err != nil {
			return err
		}
		digest, err := writer.Add(ctx, content)
		if err != nil {
			return t.unstored(ctx, err)
		}
		files = append(files, artifact.File{Path: file.Path, Mode: file.Mode, Digest: digest, Size: int64(len(content))})
		return nil
	})
	if err != nil {
		return nil, t.unpacked(err)
	}
	if err := writer.Flush(ctx); err != nil {
		return nil, t.unstored(ctx, err)
	}
	tree, err := artifact.NewTree(files)
	if err != nil {
		return nil, t.upstream.Fail(source.KindContent, "layer %s: %s", t.layer.Digest, plain(err))
	}
	tree.Warnings = warnings
	return tree, nil
}

// received brings the layer onto the disk.
func (t *taking) received(ctx context.Context) (*source.Spooled, error) {
	file, err := t.oci.spool.File()
	if err != nil {
		return nil, t.unwritten(err)
	}
	blob, err := t.repository.Blob(ctx, t.layer)
	if err != nil {
		file.Close()
		return nil, err
	}
	defer func() { _ = blob.Close() }()
	if _, err := io.Copy(file, blob); err != nil {
		file.Close()
		return nil, t.unwritten(err)
	}
	return file, nil
}

// unwritten tells an error of the disk from one of the registry.
func (t *taking) unwritten(err error) error {
	var disk *source.StoreFailure
	if errors.As(err, &disk) {
		return t.upstream.StoreError(disk.Err)
	}
	return err
}

// unpacked words what was wrong with the archive.
func (t *taking) unpacked(err error) error {
	var archive *artifact.ArchiveError
	var known *source.Error
	var disk *source.StoreFailure
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &disk):
		return t.upstream.StoreError(disk.Err)
	case errors.As(err, &archive) && archive.Limit:
		return t.upstream.Fail(source.KindLimit, "layer %s: %s", t.layer.Digest, archive.Message())
	case errors.As(err, &archive):
		return t.upstream.Fail(source.KindContent, "layer %s: %s", t.layer.Digest, archive.Message())
	case errors.Is(err, fleet.ErrInvalid):
		return t.upstream.Fail(source.KindContent, "layer %s: %s", t.layer.Digest, plain(err))
	}
	return err
}

// unstored words that the store failed, unless the caller has given up.
func (t *taking) unstored(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return t.upstream.StoreError(err)
}

func plain(err error) string {
	return strings.TrimPrefix(err.Error(), fleet.ErrInvalid.Error()+": ")
}
