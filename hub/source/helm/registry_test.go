package helm_test

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	ociregistry "github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/hub/source/helm"
	"flotilla.dev/flotilla/hub/source/oci"
	"flotilla.dev/flotilla/pkg/flux"
)

// pushed serves charts by tag from a registry that wants a password, over TLS, below /charts/podinfo. It returns its
// address and its certificate.
func pushed(t *testing.T, charts map[string][]byte) (host string, authority []byte) {
	t.Helper()
	inner := ociregistry.New(ociregistry.Logger(log.New(io.Discard, "", 0)))
	guarded := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if username, password, _ := r.BasicAuth(); username != "me" || password != "hunter2" {
			w.Header().Set("WWW-Authenticate", `Basic realm="charts"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		inner.ServeHTTP(w, r)
	}))
	guarded.Config.ErrorLog = log.New(io.Discard, "", 0)
	guarded.StartTLS()
	t.Cleanup(guarded.Close)
	open := httptest.NewServer(inner)
	t.Cleanup(open.Close)
	for tag, data := range charts {
		ref, err := name.ParseReference(strings.TrimPrefix(open.URL, "http://") + "/charts/podinfo:" + tag)
		if err != nil {
			t.Fatal(err)
		}
		image, err := mutate.AppendLayers(mutate.MediaType(empty.Image, types.OCIManifestSchema1), static.NewLayer(data, flux.ChartLayer))
		if err != nil {
			t.Fatal(err)
		}
		if err := remote.Write(ref, image); err != nil {
			t.Fatal(err)
		}
	}
	return strings.TrimPrefix(guarded.URL, "https://"), pemOf(guarded.Certificate().Raw)
}

// realRegistries has charts fetched from registries as the hub does it.
func realRegistries(t *testing.T) func(*helm.Config) {
	t.Helper()
	return func(config *helm.Config) {
		client, err := oci.NewClient(oci.ClientConfig{Network: config.Network})
		if err != nil {
			t.Fatal(err)
		}
		if config.Registry, err = oci.New(oci.Config{Client: client, Dir: t.TempDir(), Store: config.Store}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestChartsComeFromARealRegistry(t *testing.T) {
	t.Parallel()
	first, second := packed("podinfo", podinfo("1.0.0+b1")), packed("podinfo", podinfo("1.1.0"))
	host, authority := pushed(t, map[string][]byte{"1.0.0_b1": first, "1.1.0": second, "2.0.0-rc.1": first, "latest": first})
	b := newBundle(t, realRegistries(t))
	input := func(secret map[string][]byte) source.Input {
		spec := flux.HelmRepository{URL: "oci://" + host + "/charts", Type: flux.HelmRepositoryOCI}
		return source.Input{Field: "sourceRef", Name: "registry", Upstream: repository(spec, source.Secrets{"secretRef": secret, "certSecretRef": {"ca.crt": authority}})}
	}
	good := map[string][]byte{"username": []byte("me"), "password": []byte("hunter2")}
	for version, want := range map[string]struct {
		revision string
		data     []byte
	}{"": {"1.1.0", second}, "1.0.x": {"1.0.0+b1", first}, "1.0.0+b1": {"1.0.0+b1", first}, "<1.1.0": {"1.0.0+b1", first}} {
		found, got, data := b.chart(of(input(good), flux.HelmChart{Chart: "podinfo", Version: version}))
		if string(found.Revision) != want.revision || string(data) != string(want.data) || got.Tree.Files[0].Path != "podinfo-"+want.revision+".tgz" {
			t.Errorf("%q: %s, %s", version, found.Revision, got.Tree.Files[0].Path)
		}
	}
	// As a dependency.
	chart := chartYAML("umbrella", "1.0.0") + "dependencies: [{name: podinfo, version: 1.0.x, repository: 'oci://" + host + "/charts'}]\n"
	u := of(b.git(files{"Chart.yaml": chart}), flux.HelmChart{Chart: "."})
	u.Repositories = []source.Upstream{input(good).Upstream}
	_, _, data := b.chart(u)
	if subs := loaded(t, data).Dependencies(); len(subs) != 1 || subs[0].Metadata.Version != "1.0.0+b1" {
		t.Errorf("dependencies %v", subs)
	}

	_, err := b.Charts().Resolve(t.Context(), of(input(good), flux.HelmChart{Chart: "podinfo", Version: "3.x"}))
	fails(t, "no such version", err, source.KindRef, `no version of the chart "podinfo" in the range "3.x"`)
	_, err = b.Charts().Resolve(t.Context(), of(input(map[string][]byte{"username": []byte("me"), "password": []byte("hunter22")}), flux.HelmChart{Chart: "podinfo"}))
	fails(t, "a wrong password", err, source.KindAuth, "oci://"+host+"/charts/podinfo")
	_, err = b.Charts().Resolve(t.Context(), of(input(map[string][]byte{"username": []byte("me")}), flux.HelmChart{Chart: "podinfo"}))
	fails(t, "half a credential", err, source.KindAuth, "both are needed")
}

func TestARegistryThatHangsIsATimeoutOfTheChart(t *testing.T) {
	t.Parallel()
	hung := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(hung.Close)
	b := newBundle(t, realRegistries(t))
	u := repository(flux.HelmRepository{URL: "oci://" + strings.TrimPrefix(hung.URL, "http://"), Type: flux.HelmRepositoryOCI, Insecure: true}, nil)
	u.Timeout = 300 * time.Millisecond
	_, err := b.Charts().Resolve(t.Context(), of(source.Input{Name: "registry", Upstream: u}, flux.HelmChart{Chart: "podinfo"}))
	fails(t, "a registry that hangs", err, source.KindTimeout, "no answer within 300ms")
}
