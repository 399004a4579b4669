package release_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"flotilla.dev/flotilla/hub/release"
	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/hub/source/helm"
	"flotilla.dev/flotilla/hub/source/oci"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/test/lab"
)

// withHelm has the loop fetch charts, as the hub does.
func withHelm(t *testing.T) func(*release.Config) {
	t.Helper()
	return func(config *release.Config) {
		network := source.NewNetwork(source.NetworkConfig{Metrics: source.NewMetrics(nil)})
		registries, err := oci.New(oci.Config{Network: network, Dir: t.TempDir(), Store: config.Blobs})
		if err != nil {
			t.Fatal(err)
		}
		charts, err := helm.New(helm.Config{Dir: t.TempDir(), Store: config.Blobs, Network: network, Registry: registries})
		if err != nil {
			t.Fatal(err)
		}
		config.Fetcher = source.Kinds{"HelmRepository": charts.Repositories(), "HelmChart": charts.Charts(), "OCIRepository": registries}
		config.Charts = charts
	}
}

// packagedChart is a chart of the version.
func packagedChart(version string) []byte {
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	archive := tar.NewWriter(zip)
	text := "apiVersion: v2\nname: app\nversion: " + version + "\n"
	_ = archive.WriteHeader(&tar.Header{Name: "app/Chart.yaml", Mode: 0o644, Size: int64(len(text))})
	_, _ = io.WriteString(archive, text)
	_ = archive.Close()
	_ = zip.Close()
	return out.Bytes()
}

func (b *bundle) eventuallyAt(kind, name, revision string) {
	b.t.Helper()
	lab.Eventually(b.t, time.Minute, kind+" "+name, func() error {
		states, err := b.SourceStates(b.t.Context(), kind)
		if err != nil {
			return err
		}
		if state := states["apps/"+name]; !strings.HasPrefix(string(state.Revision), revision) || state.TreeBlob.IsZero() {
			return fmt.Errorf("at %q (%s %s), not at %s", state.Revision, state.Reason, state.Message, revision)
		}
		return nil
	})
}

// A repository is looked at by its own interval, and its chart follows it at once, whatever the chart's.
func TestAChartFollowsItsRepositoryWhichIsAskedAtItsInterval(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	version := "1.0.0"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if r.URL.Path == "/index.yaml" {
			_, _ = fmt.Fprintf(w, "apiVersion: v1\nentries:\n  app:\n  - name: app\n    version: %s\n    urls: [app.tgz]\n", version)
			return
		}
		_, _ = w.Write(packagedChart(version))
	}))
	t.Cleanup(server.Close)
	b := newBundleWith(t, withHelm(t))
	b.apply(`{"apiVersion":"source.toolkit.fluxcd.io/v1","kind":"HelmRepository","metadata":{"name":"charts","namespace":"apps"},"spec":{"interval":"500ms","url":"` + server.URL + `"}}`)
	b.apply(`{"apiVersion":"source.toolkit.fluxcd.io/v1","kind":"HelmChart","metadata":{"name":"app","namespace":"apps"},"spec":{"interval":"10h","chart":"app","sourceRef":{"kind":"HelmRepository","name":"charts"}}}`)
	b.eventuallyAt("HelmRepository", "charts", "sha256:")
	b.eventuallyAt("HelmChart", "app", "1.0.0")
	mu.Lock()
	version = "1.1.0"
	mu.Unlock()
	b.eventuallyAt("HelmChart", "app", "1.1.0")
}

// Nothing is fetched of a registry's repository, so its chart is looked at by the chart's own interval.
func TestAChartOfARegistryIsAskedForAtItsInterval(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	host := strings.TrimPrefix(server.URL, "http://")
	push := func(version string) {
		t.Helper()
		ref, err := name.ParseReference(host + "/charts/app:" + version)
		if err != nil {
			t.Fatal(err)
		}
		image, err := mutate.AppendLayers(mutate.MediaType(empty.Image, types.OCIManifestSchema1), static.NewLayer(packagedChart(version), flux.ChartLayer))
		if err != nil {
			t.Fatal(err)
		}
		if err := remote.Write(ref, image); err != nil {
			t.Fatal(err)
		}
	}
	push("1.0.0")
	b := newBundleWith(t, withHelm(t))
	b.apply(`{"apiVersion":"source.toolkit.fluxcd.io/v1","kind":"HelmRepository","metadata":{"name":"charts","namespace":"apps"},"spec":{"type":"oci","insecure":true,"url":"oci://` + host + `/charts"}}`)
	b.apply(`{"apiVersion":"source.toolkit.fluxcd.io/v1","kind":"HelmChart","metadata":{"name":"app","namespace":"apps"},"spec":{"interval":"500ms","chart":"app","version":">=1","sourceRef":{"kind":"HelmRepository","name":"charts"}}}`)
	b.eventuallyAt("HelmChart", "app", "1.0.0")
	push("1.1.0")
	b.eventuallyAt("HelmChart", "app", "1.1.0")
}
