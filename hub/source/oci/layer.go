package oci

import (
	"cmp"
	"context"
	"errors"
	"io"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
)

// CopiedLayer is the name of the one file of a Tree whose layer was copied. It is the same for all, so that the same layer is
// the same Tree by whatever tag or manifest.
const CopiedLayer = "artifact.tgz"

// layerFetch makes the Tree of a layer.
type layerFetch struct {
	oci        *OCI
	upstream   source.Upstream
	spec       flux.OCIRepository
	repository *repository
	layer      ocispec.Descriptor
}

func (t *layerFetch) tree(ctx context.Context) (*artifact.Tree, error) {
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
func (t *layerFetch) copied(ctx context.Context, most int64) (*artifact.Tree, error) {
	content, err := t.repository.ReadBlob(ctx, t.layer, most)
	if err != nil {
		return nil, err
	}
	writer := source.NewWriter(t.oci.config.Store, t.oci.config.Metrics)
	digest, err := writer.Add(ctx, content)
	if err := cmp.Or(err, writer.Flush(ctx)); err != nil {
		return nil, err
	}
	return artifact.NewTree([]artifact.File{{Path: CopiedLayer, Digest: digest, Size: int64(len(content))}})
}

// extracted is a Tree of the files in the layer. It is read twice, from a file on disk: what is ignored is known when all of
// it was seen.
func (t *layerFetch) extracted(ctx context.Context) (*artifact.Tree, error) {
	ignore := artifact.NewIgnore(t.spec.Ignore)
	if err := ignore.Err(); err != nil {
		return nil, t.upstream.Fail(source.KindInvalid, "%s", artifact.Message(err))
	}
	layer, err := t.received(ctx)
	if err != nil {
		return nil, err
	}
	defer layer.Close()
	config := t.oci.config
	if err := ignore.ReadArchive(ctx, layer.Reader(), config.Limits); err != nil {
		return nil, t.unpacked(err)
	}
	tree, err := artifact.Unpack(ctx, source.MeasuredStore(config.Store, config.Metrics), layer.Reader(), config.Limits, ignore)
	if err != nil {
		return nil, t.unpacked(err)
	}
	return tree, nil
}

// received brings the layer onto the disk.
func (t *layerFetch) received(ctx context.Context) (*source.Spooled, error) {
	file, err := t.oci.spool.File()
	if err != nil {
		return nil, err
	}
	blob, err := t.repository.blob(ctx, t.layer)
	if err != nil {
		file.Close()
		return nil, err
	}
	defer func() { _ = blob.Close() }()
	if _, err := io.Copy(file, blob); err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// unpacked words what was wrong with the archive.
func (t *layerFetch) unpacked(err error) error {
	var own *source.StoreFailure
	var archive *artifact.ArchiveError
	switch {
	case errors.As(err, &own), !errors.Is(err, fleet.ErrInvalid):
		return err
	case errors.As(err, &archive) && archive.Limit:
		return t.upstream.Fail(source.KindLimit, "layer %s: %s", t.layer.Digest, archive.Message())
	}
	return t.upstream.Fail(source.KindContent, "layer %s: %s", t.layer.Digest, artifact.Message(err))
}
