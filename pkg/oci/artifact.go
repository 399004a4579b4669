package oci

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Media types of Flux's artifacts.
const (
	ConfigMediaType  types.MediaType = "application/vnd.cncf.flux.config.v1+json"
	ContentMediaType types.MediaType = "application/vnd.cncf.flux.content.v1.tar+gzip"
)

// Metadata is what an artifact says of itself.
type Metadata struct {
	// Source is where the files come from, Revision what they are there.
	Source, Revision string
	Created          time.Time
	// Annotations are others, or stand for those three where they have their names.
	Annotations map[string]string
}

// Annotate returns the metadata as annotations.
func (m Metadata) Annotate() map[string]string {
	all := map[string]string{
		fleet.SourceAnnotation: m.Source, fleet.RevisionAnnotation: m.Revision, fleet.CreatedAnnotation: m.Created.UTC().Format(time.RFC3339),
	}
	maps.Copy(all, m.Annotations)
	return all
}

// New returns the artifact whose only layer is an archive, as [flotilla.dev/flotilla/pkg/artifact.Pack] writes it. Equal
// archives with equal metadata give the same digest.
func New(archive []byte, m Metadata) (v1.Image, error) {
	annotations := m.Annotate()
	created, err := time.Parse(time.RFC3339, annotations[fleet.CreatedAnnotation])
	if err != nil {
		return nil, fmt.Errorf("%w: annotation %s: %q is not a time such as 2026-01-31T12:00:00Z", fleet.ErrInvalid, fleet.CreatedAnnotation, annotations[fleet.CreatedAnnotation])
	}
	layer, err := newLayer(archive)
	if err != nil {
		return nil, err
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), ConfigMediaType)
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.Created = v1.Time{Time: created}
	if image, err = mutate.ConfigFile(image, config); err != nil {
		return nil, err
	}
	annotated, isImage := mutate.Annotations(image, annotations).(v1.Image)
	if !isImage {
		return nil, fmt.Errorf("annotate an artifact: it is no image any more")
	}
	return mutate.Append(annotated, mutate.Addendum{Layer: layer})
}

// layer is an archive as a layer.
type layer struct {
	data         []byte
	digest, diff v1.Hash
}

func newLayer(archive []byte) (*layer, error) {
	unpacked, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		return nil, fmt.Errorf("%w: the archive is not compressed", fleet.ErrInvalid)
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, unpacked); err != nil {
		return nil, fmt.Errorf("%w: the archive is broken", fleet.ErrInvalid)
	}
	whole := sha256.Sum256(archive)
	return &layer{data: archive, digest: hash(whole[:]), diff: hash(sum.Sum(nil))}, nil
}

func hash(sum []byte) v1.Hash { return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum)} }

func (l *layer) Digest() (v1.Hash, error)            { return l.digest, nil }
func (l *layer) DiffID() (v1.Hash, error)            { return l.diff, nil }
func (l *layer) Size() (int64, error)                { return int64(len(l.data)), nil }
func (l *layer) MediaType() (types.MediaType, error) { return ContentMediaType, nil }
func (l *layer) Compressed() (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(l.data)), nil
}
func (l *layer) Uncompressed() (io.ReadCloser, error) { return gzip.NewReader(bytes.NewReader(l.data)) }
