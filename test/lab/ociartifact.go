package lab

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// The media types of Flux's and Helm's artifacts.
const (
	FluxConfig   = "application/vnd.cncf.flux.config.v1+json"
	FluxContent  = "application/vnd.cncf.flux.content.v1.tar+gzip"
	HelmConfig   = "application/vnd.cncf.helm.config.v1+json"
	HelmChart    = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
	HelmProv     = "application/vnd.cncf.helm.chart.provenance.v1.prov"
	OCIManifest  = "application/vnd.oci.image.manifest.v1+json"
	OCIIndex     = "application/vnd.oci.image.index.v1+json"
	emptyOCI     = "application/vnd.oci.empty.v1+json"
	emptyContent = "{}"
)

// OCIArtifact is what a registry holds under a tag or a digest.
type OCIArtifact struct {
	// Config and its media type; empty: OCI's empty one.
	ConfigMediaType, Config string
	// ArtifactType of those that refer to another.
	ArtifactType string
	Layers       []OCILayer
	Annotations  map[string]string
	// Subject is the digest of the manifest that this one refers to; empty: none.
	Subject string
}

// OCILayer is one blob of an artifact.
type OCILayer struct {
	MediaType   string
	Content     []byte
	Annotations map[string]string
}

// FluxArtifact holds files, content by path, as "flux push artifact" packs them.
func FluxArtifact(files map[string]string) OCIArtifact {
	return OCIArtifact{
		ConfigMediaType: FluxConfig, Config: emptyContent,
		Layers: []OCILayer{{MediaType: FluxContent, Content: TarGzip(files)}},
		Annotations: map[string]string{
			"org.opencontainers.image.created":  "2024-01-01T00:00:00Z",
			"org.opencontainers.image.source":   "https://git.example/app",
			"org.opencontainers.image.revision": "main@sha1:0123456789012345678901234567890123456789",
		},
	}
}

// TarGzip packs files, content by path, in the paths' order and always to the same bytes. Paths are written as they are.
func TarGzip(files map[string]string) []byte {
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	archive := tar.NewWriter(zip)
	for _, path := range slices.Sorted(maps.Keys(files)) {
		// To memory: nothing of it fails, but for a path that no tar can hold.
		if err := archive.WriteHeader(&tar.Header{Name: path, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(files[path]))}); err != nil {
			panic(fmt.Sprintf("tar: %q: %v", path, err))
		}
		_, _ = archive.Write([]byte(files[path]))
	}
	_ = archive.Close()
	_ = zip.Close()
	return packed.Bytes()
}

type ociDescriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type ociManifest struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType"`
	ArtifactType  string            `json:"artifactType,omitempty"`
	Config        ociDescriptor     `json:"config"`
	Layers        []ociDescriptor   `json:"layers"`
	Subject       *ociDescriptor    `json:"subject,omitempty"`
	Annotations   map[string]string `json:"annotations,omitempty"`
}

// Push puts an artifact under a tag, and returns the digest of its manifest. An empty tag leaves it with the digest
// alone.
func (r *Registry) Push(repository, tag string, a OCIArtifact) (digest string, err error) {
	if a.ConfigMediaType == "" {
		a.ConfigMediaType, a.Config = emptyOCI, emptyContent
	}
	manifest := ociManifest{
		SchemaVersion: 2, MediaType: OCIManifest, ArtifactType: a.ArtifactType, Annotations: a.Annotations, Layers: []ociDescriptor{},
	}
	if manifest.Config, err = r.pushBlob(repository, OCILayer{MediaType: a.ConfigMediaType, Content: []byte(a.Config)}); err != nil {
		return "", err
	}
	for _, layer := range a.Layers {
		pushed, err := r.pushBlob(repository, layer)
		if err != nil {
			return "", err
		}
		manifest.Layers = append(manifest.Layers, pushed)
	}
	if a.Subject != "" {
		status, subject := r.direct(http.MethodGet, "/v2/"+repository+"/manifests/"+a.Subject, "", nil)
		if status != http.StatusOK {
			return "", fmt.Errorf("%s has no manifest %s to refer to: %d", repository, a.Subject, status)
		}
		manifest.Subject = &ociDescriptor{MediaType: OCIManifest, Digest: a.Subject, Size: len(subject)}
	}
	encoded, err := json.Marshal(manifest)
	if err != nil {
		return "", err
	}
	return r.PushManifest(repository, tag, OCIManifest, encoded)
}

// PushManifest puts any manifest under a tag, well made or not.
func (r *Registry) PushManifest(repository, tag, mediaType string, manifest []byte) (digest string, err error) {
	digest = "sha256:" + hexSum(manifest)
	if tag == "" {
		tag = digest
	}
	return digest, r.put("/v2/"+repository+"/manifests/"+tag, mediaType, manifest)
}

// Untag takes a tag away. The manifest is still there by its digest.
func (r *Registry) Untag(repository, tag string) error {
	if status, answer := r.direct(http.MethodDelete, "/v2/"+repository+"/manifests/"+tag, "", nil); status != http.StatusAccepted {
		return fmt.Errorf("untag %s:%s: %d %s", repository, tag, status, answer)
	}
	return nil
}

func (r *Registry) pushBlob(repository string, layer OCILayer) (ociDescriptor, error) {
	digest := "sha256:" + hexSum(layer.Content)
	err := r.put("/v2/"+repository+"/blobs/uploads/?digest="+digest, "application/octet-stream", layer.Content)
	return ociDescriptor{MediaType: layer.MediaType, Digest: digest, Size: len(layer.Content), Annotations: layer.Annotations}, err
}

func (r *Registry) put(path, contentType string, content []byte) error {
	method := http.MethodPut
	if strings.Contains(path, "/uploads/") {
		method = http.MethodPost // a blob in one request
	}
	if status, answer := r.direct(method, path, contentType, content); status != http.StatusCreated {
		return fmt.Errorf("push %s: %d %s", path, status, answer)
	}
	return nil
}
