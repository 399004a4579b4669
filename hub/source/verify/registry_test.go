package verify_test

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/hub/source/verify"
	"flotilla.dev/flotilla/pkg/flux"
)

// registry is a repository in memory.
type registry struct {
	name      string
	manifests map[string][]byte // by digest and by tag
	blobs     map[digest.Digest][]byte
	referrers map[string][]ocispec.Descriptor // by subject
	asked     []string
}

var _ verify.Registry = (*registry)(nil)

func newRegistry() *registry {
	return &registry{
		name: "registry.example.com/apps/podinfo", manifests: map[string][]byte{}, blobs: map[digest.Digest][]byte{}, referrers: map[string][]ocispec.Descriptor{},
	}
}

func (r *registry) Name() string { return r.name }

func (r *registry) Raw(_ context.Context, reference string) (ocispec.Descriptor, []byte, error) {
	r.asked = append(r.asked, reference)
	raw, found := r.manifests[reference]
	if !found {
		return ocispec.Descriptor{}, nil, u.Fail(source.KindRef, "%s is not there", reference)
	}
	return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromBytes(raw), Size: int64(len(raw))}, raw, nil
}

func (r *registry) Referrers(_ context.Context, subject, artifactType string) ([]ocispec.Descriptor, error) {
	return slices.DeleteFunc(slices.Clone(r.referrers[subject]), func(d ocispec.Descriptor) bool { return d.ArtifactType != artifactType }), nil
}

func (r *registry) ReadBlob(_ context.Context, d ocispec.Descriptor, most int64) ([]byte, error) {
	if d.Size > most {
		return nil, u.Fail(source.KindLimit, "too large")
	}
	blob, found := r.blobs[d.Digest]
	if !found {
		return nil, u.Fail(source.KindContent, "blob %s is not there", d.Digest)
	}
	return blob, nil
}

// put stores a manifest by its digest, and by a tag if there is one.
func (r *registry) put(t *testing.T, tag string, manifest ocispec.Manifest) ocispec.Descriptor {
	t.Helper()
	raw, err := json.Marshal(manifest)
	if err != nil {
		t.Fatal(err)
	}
	d := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, ArtifactType: manifest.ArtifactType, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
	r.manifests[d.Digest.String()] = raw
	if tag != "" {
		r.manifests[tag] = raw
	}
	return d
}

func (r *registry) blob(mediaType string, content []byte, annotations map[string]string) ocispec.Descriptor {
	d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(content), Size: int64(len(content)), Annotations: annotations}
	r.blobs[d.Digest] = content
	return d
}

// artifact is something to sign; text makes it another.
func (r *registry) artifact(t *testing.T, text string) ocispec.Descriptor {
	t.Helper()
	return r.put(t, "", ocispec.Manifest{Annotations: map[string]string{"text": text}})
}

// tagged adds signatures as cosign 2 has them.
func (r *registry) tagged(t *testing.T, subject string, layers ...ocispec.Descriptor) {
	t.Helper()
	r.put(t, strings.Replace(subject, ":", "-", 1)+".sig", ocispec.Manifest{Layers: layers})
}

// refers adds a signature that refers to the artifact.
func (r *registry) refers(t *testing.T, subject, artifactType string, layer ocispec.Descriptor) {
	t.Helper()
	d := r.put(t, "", ocispec.Manifest{ArtifactType: artifactType, Layers: []ocispec.Descriptor{layer}})
	r.referrers[subject] = append(r.referrers[subject], d)
}

var u = source.Upstream{Kind: "OCIRepository", URL: "oci://registry.example.com/apps/podinfo"}

func verifier(t *testing.T, trustedRoot []byte) *verify.Verifier {
	t.Helper()
	v, err := verify.New(verify.Config{TrustedRoot: trustedRoot, HTTP: http.DefaultClient})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// image verifies with the hub having no trusted root.
func image(t *testing.T, r *registry, subject ocispec.Descriptor, spec flux.OCIVerify, secrets source.Secrets) (string, error) {
	t.Helper()
	return verifier(t, nil).Image(t.Context(), u, r, subject.Digest.String(), spec, secrets)
}

// refused wants an error of the kind that says all of it.
func refused(t *testing.T, whose string, err error, kind source.Kind, says ...string) {
	t.Helper()
	if err == nil || source.KindOf(err) != kind || whose != "" {
		t.Fatalf("%q, error %v, want one of kind %s", whose, err, kind)
	}
	for _, text := range says {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("error %q does not say %q", err, text)
		}
	}
}
