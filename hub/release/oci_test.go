package release_test

import (
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"

	"flotilla.dev/flotilla/hub/release"
	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/hub/source/oci"
	"flotilla.dev/flotilla/test/lab"
)

// withArtifacts has the loop fetch OCIRepositories, as the hub does.
func withArtifacts(t *testing.T) func(*release.Config) {
	t.Helper()
	return func(config *release.Config) {
		network := source.NewNetwork(source.NetworkConfig{Metrics: source.NewMetrics(nil)})
		artifacts, err := oci.New(oci.Config{Network: network, Dir: t.TempDir(), Store: config.Blobs})
		if err != nil {
			t.Fatal(err)
		}
		config.Fetcher = source.Kinds{"OCIRepository": artifacts}
	}
}

func TestAnOCIRepositoryIsAskedAtItsInterval(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	host := strings.TrimPrefix(server.URL, "http://")
	push := func(content string) (digest string) {
		t.Helper()
		ref, err := name.NewTag(host + "/apps/podinfo:latest")
		if err != nil {
			t.Fatal(err)
		}
		image, err := mutate.AppendLayers(empty.Image, static.NewLayer([]byte(content), "application/octet-stream"))
		if err != nil {
			t.Fatal(err)
		}
		if err := remote.Write(ref, image); err != nil {
			t.Fatal(err)
		}
		sum, err := image.Digest()
		if err != nil {
			t.Fatal(err)
		}
		return sum.String()
	}
	b := newBundleWith(t, withArtifacts(t))
	first := push("one")
	b.apply(`{"apiVersion":"source.toolkit.fluxcd.io/v1","kind":"OCIRepository","metadata":{"name":"app","namespace":"apps"},"spec":{"interval":"500ms","insecure":true,"url":"oci://` + host + `/apps/podinfo","layerSelector":{"operation":"copy"}}}`)
	b.eventuallyArtifact("app", "latest@"+first)
	second := push("two")
	b.eventuallyArtifact("app", "latest@"+second)
}

func (b *bundle) eventuallyArtifact(source, revision string) {
	b.t.Helper()
	lab.Eventually(b.t, time.Minute, "OCIRepository "+source, func() error {
		states, err := b.SourceStates(b.t.Context(), "OCIRepository")
		if err != nil {
			return err
		}
		if state := states["apps/"+source]; string(state.Revision) != revision || state.TreeBlob.IsZero() {
			return fmt.Errorf("at %q (%s %s), not at %s", state.Revision, state.Reason, state.Message, revision)
		}
		return nil
	})
}
