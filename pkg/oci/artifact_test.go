package oci_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"flotilla.dev/flotilla/pkg/artifact/artifacttest"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/oci"
)

func TestArtifactHasTheShapeOfFluxs(t *testing.T) {
	t.Parallel()
	archive := artifacttest.Archive(map[string]string{"a.yaml": "a: 1\n"})
	image, err := oci.New(archive, oci.Metadata{Source: "https://x/y", Revision: "main@sha1:1", Created: time.Unix(0, 0), Annotations: map[string]string{"org.example/a": "b"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(image); err != nil {
		t.Errorf("not an image: %v", err)
	}
	manifest := must(image.Manifest())
	if manifest.Config.MediaType != "application/vnd.cncf.flux.config.v1+json" || manifest.MediaType != "application/vnd.oci.image.manifest.v1+json" ||
		len(manifest.Layers) != 1 || manifest.Layers[0].MediaType != "application/vnd.cncf.flux.content.v1.tar+gzip" || manifest.Layers[0].Size != int64(len(archive)) {
		t.Errorf("manifest %+v", manifest)
	}
	unpacked := must(io.ReadAll(must(gzip.NewReader(bytes.NewReader(archive)))))
	if id := must(must(image.Layers())[0].DiffID()); id.String() != fleet.DigestOf(unpacked).String() {
		t.Errorf("diff ID %v", id)
	}
	want := map[string]string{
		"org.opencontainers.image.source": "https://x/y", "org.opencontainers.image.revision": "main@sha1:1",
		"org.opencontainers.image.created": "1970-01-01T00:00:00Z", "org.example/a": "b",
	}
	if got, _ := json.Marshal(manifest.Annotations); string(got) != string(must(json.Marshal(want))) {
		t.Errorf("annotations %s", got)
	}
}

func TestEqualArtifactsHaveOneDigest(t *testing.T) {
	t.Parallel()
	digest := func(created time.Time) v1.Hash {
		return must(must(oci.New(artifacttest.Archive(map[string]string{"a": "1"}), oci.Metadata{Created: created})).Digest())
	}
	if digest(time.Unix(7, 0)) != digest(time.Unix(7, 0).In(time.FixedZone("x", 3600))) {
		t.Error("the time zone changed the digest")
	}
	if digest(time.Unix(7, 0)) == digest(time.Unix(8, 0)) {
		t.Error("the time did not change the digest")
	}
}

func TestArtifactOfNoArchiveIsRefused(t *testing.T) {
	t.Parallel()
	archive := artifacttest.Archive(map[string]string{"a": "1"})
	for name, err := range map[string]error{
		"text":       second(oci.New([]byte("text"), oci.Metadata{})),
		"half":       second(oci.New(archive[:len(archive)/2], oci.Metadata{})),
		"wrong time": second(oci.New(archive, oci.Metadata{Annotations: map[string]string{fleet.CreatedAnnotation: "now"}})),
	} {
		if !errors.Is(err, fleet.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func second(_ v1.Image, err error) error { return err }

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
