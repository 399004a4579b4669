package oci

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/flux"
)

// The media types of manifests, Docker's beside OCI's.
const (
	dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	dockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
)

var manifestTypes = []string{ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageIndex, dockerManifest, dockerList}

// Manifest is an artifact's manifest, or an index of several.
type Manifest struct {
	MediaType    string
	ArtifactType string
	Config       ocispec.Descriptor
	// Layers and Manifests have media type, digest, size, artifact type and platform of what they describe.
	Layers      []ocispec.Descriptor
	Manifests   []ocispec.Descriptor
	Annotations map[string]string

	// Digest is of what the registry sent.
	Digest digest.Digest
}

// index says whether it is a list of manifests.
func (m *Manifest) index() bool {
	return m.MediaType == ocispec.MediaTypeImageIndex || m.MediaType == dockerList
}

// parseManifest reads a manifest. Its errors go on from "the manifest".
func parseManifest(raw []byte, contentType string) (*Manifest, error) {
	var read struct {
		MediaType    string      `json:"mediaType"`
		ArtifactType string      `json:"artifactType"`
		Config       described   `json:"config"`
		Layers       descriptors `json:"layers"`
		Manifests    descriptors `json:"manifests"`
		Annotations  annotations `json:"annotations"`
	}
	var many *tooManyError
	if err := json.Unmarshal(raw, &read); errors.As(err, &many) {
		return nil, many
	} else if err != nil {
		return nil, errors.New("is not JSON of the form that the OCI specification has; was it a registry that sent it?")
	}
	m := &Manifest{
		MediaType: mediaType(read.MediaType, contentType), ArtifactType: read.ArtifactType, Config: read.Config.descriptor(),
		Layers: read.Layers, Manifests: read.Manifests, Annotations: read.Annotations, Digest: digest.FromBytes(raw),
	}
	if !slices.Contains(manifestTypes, m.MediaType) {
		return nil, fmt.Errorf("is of media type %q, which is not supported (OCI and Docker version 2 are); push it again by a recent tool", source.Shown(m.MediaType))
	}
	return m, nil
}

// mediaType is what a manifest says of itself, or else what it was sent as.
func mediaType(says, contentType string) string {
	if says != "" {
		return says
	}
	sent, _, _ := strings.Cut(contentType, ";")
	return sent
}

// platform returns the manifest of an index that is pulled: as in Flux the first for linux/amd64, or that says nothing of it.
func (m *Manifest) platform() (ocispec.Descriptor, error) {
	var there []string
	for _, d := range m.Manifests {
		p := d.Platform
		if p == nil || p.OS == "linux" && p.Architecture == "amd64" {
			return d, nil
		}
		there = append(there, source.Shown(p.OS+"/"+p.Architecture))
	}
	return ocispec.Descriptor{}, fmt.Errorf("is an index with nothing for linux/amd64; it has %s", list(there, "nothing"))
}

// layer returns the layer that spec.layerSelector chooses: the first, or the first of its media type. selecting is what
// errors say of who asks for that.
func (m *Manifest) layer(selector *flux.LayerSelector, selecting string) (ocispec.Descriptor, error) {
	var there []string
	for _, d := range m.Layers {
		if selector == nil || selector.MediaType == "" || selector.MediaType == d.MediaType {
			return d, nil
		}
		if shown := source.Shown(d.MediaType); !slices.Contains(there, shown) {
			there = append(there, shown)
		}
	}
	if len(m.Layers) == 0 {
		return ocispec.Descriptor{}, errors.New("has no layers")
	}
	return ocispec.Descriptor{}, fmt.Errorf("has no layer of media type %q (%s); it has %s", selector.MediaType, selecting, list(there, "none"))
}

// list names some of what is there.
func list(there []string, none string) string {
	const most = 10
	switch {
	case len(there) == 0:
		return none
	case len(there) > most:
		return strings.Join(there[:most], ", ") + fmt.Sprintf(" and %d more", len(there)-most)
	}
	return strings.Join(there, ", ")
}

// What is kept of annotations: so many bytes, the specification's own first.
const (
	maxMetadata        = 16 << 10
	annotationsOfImage = "org.opencontainers.image."
)

// metadata are the annotations, the specification's own before others as far as there is room.
func (m *Manifest) metadata() map[string]string {
	out := map[string]string{}
	room := maxMetadata
	for _, own := range []bool{true, false} {
		for _, key := range slices.Sorted(maps.Keys(m.Annotations)) {
			value := m.Annotations[key]
			if strings.HasPrefix(key, annotationsOfImage) != own || len(key)+len(value) > room {
				continue
			}
			room -= len(key) + len(value)
			out[key] = value
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// image follows indexes to the manifest of an image. Digests make loops impossible, not chains without an end.
func (r *repository) image(ctx context.Context, digest string) (*Manifest, error) {
	for range maxIndexes {
		m, err := r.manifest(ctx, digest)
		if err != nil {
			return nil, err
		}
		if !m.index() {
			return m, nil
		}
		d, err := m.platform()
		if err != nil {
			return nil, r.upstream.Fail(source.KindContent, "the manifest of %s %s", digest, err)
		}
		digest = d.Digest.String()
	}
	return nil, r.upstream.Fail(source.KindContent, "its indexes name indexes more than %d deep", maxIndexes)
}

const maxIndexes = 4
