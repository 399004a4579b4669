package lab_test

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/provenance"
	"sigs.k8s.io/yaml"

	"github.com/ProtonMail/go-crypto/openpgp"

	"flotilla.dev/flotilla/test/lab"
)

func TestHelmRepoServesItsIndexAndCharts(t *testing.T) {
	t.Parallel()
	authority := lab.TestAuthority(t)
	for name, config := range map[string]lab.HelmRepoConfig{
		"open":                {},
		"password":            {Username: "anna", Password: "correct-horse"},
		"TLS":                 {SiteConfig: lab.SiteConfig{Authority: authority}},
		"client certificates": {SiteConfig: lab.SiteConfig{Authority: authority, ClientCertificates: true}},
	} {
		h := lab.TestHelmRepo(t, config)
		chart := simpleChart(t, "app", "1.2.3")
		if err := h.Add(chart); err != nil {
			t.Fatal(err)
		}
		index := helmIndex(t, h)
		entry := index.Entries["app"][0]
		if index.APIVersion != "v1" || entry.Version != "1.2.3" || entry.URLs[0] != "charts/app-1.2.3.tgz" || entry.Digest == "" {
			t.Fatalf("%s: index %+v", name, index)
		}
		status, archive := helmGet(t, h, "/"+entry.URLs[0], nil)
		if status != http.StatusOK || archive != string(chart.Archive) {
			t.Errorf("%s: %d, %d bytes of chart", name, status, len(archive))
		}
		loaded, err := loader.LoadArchive(strings.NewReader(archive))
		if err != nil || loaded.Name() != "app" || len(loaded.Templates) != 1 || loaded.Values["value"] != "hello" {
			t.Errorf("%s: chart %+v, %v", name, loaded, err)
		}
		if h.Indexes() != 1 || h.Downloads() != 1 {
			t.Errorf("%s: %d indexes and %d downloads were counted", name, h.Indexes(), h.Downloads())
		}
	}
}

func TestHelmRepoRefusesTheWrongPassword(t *testing.T) {
	t.Parallel()
	h := lab.TestHelmRepo(t, lab.HelmRepoConfig{Username: "anna", Password: "correct-horse"})
	client, err := h.Client()
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Get(h.URL() + "/index.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusUnauthorized {
		t.Errorf("status %d, want 401", response.StatusCode)
	}
}

func TestHelmIndexIsSentWhenItChanged(t *testing.T) {
	t.Parallel()
	h := lab.TestHelmRepo(t, lab.HelmRepoConfig{})
	if err := h.Add(simpleChart(t, "app", "1.0.0")); err != nil {
		t.Fatal(err)
	}
	for version, validator := range map[string][2]string{"1.1.0": {"ETag", "If-None-Match"}, "1.2.0": {"Last-Modified", "If-Modified-Since"}} {
		value := helmHeader(t, h, validator[0])
		if status, _ := helmGet(t, h, "/index.yaml", map[string]string{validator[1]: value}); status != http.StatusNotModified {
			t.Errorf("%s: status %d of an index that is the same", validator[0], status)
		}
		if err := h.Add(simpleChart(t, "app", version)); err != nil {
			t.Fatal(err)
		}
		if status, _ := helmGet(t, h, "/index.yaml", map[string]string{validator[1]: value}); status != http.StatusOK {
			t.Errorf("%s: status %d of an index that changed", validator[0], status)
		}
	}
	if h.NotModified() != 2 {
		t.Errorf("%d were counted as not modified, want 2", h.NotModified())
	}
	plain := lab.TestHelmRepo(t, lab.HelmRepoConfig{Unconditional: true})
	if etag, modified := helmHeader(t, plain, "ETag"), helmHeader(t, plain, "Last-Modified"); etag != "" || modified != "" {
		t.Errorf("an unconditional repository says %q, %q", etag, modified)
	}
}

func TestHelmRepoForgetsAndMovesCharts(t *testing.T) {
	t.Parallel()
	h := lab.TestHelmRepo(t, lab.HelmRepoConfig{})
	for _, version := range []string{"1.0.0", "1.1.0"} {
		if err := h.Add(simpleChart(t, "app", version)); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.Remove("app", "1.0.0"); err != nil {
		t.Fatal(err)
	}
	if err := h.Remove("app", "1.0.0"); err == nil {
		t.Error("a version that is not there was removed")
	}
	h.ChartsAt("https://elsewhere.example")
	entries := helmIndex(t, h).Entries["app"]
	if len(entries) != 1 || entries[0].Version != "1.1.0" || entries[0].URLs[0] != "https://elsewhere.example/charts/app-1.1.0.tgz" {
		t.Errorf("entries %+v", entries)
	}
	h.SetIndex([]byte("no: index"))
	if _, body := helmGet(t, h, "/index.yaml", nil); body != "no: index" {
		t.Errorf("index %q", body)
	}
}

func TestChartHasAProvenance(t *testing.T) {
	t.Parallel()
	key := lab.TestPGPKey(t)
	chart := simpleChart(t, "app", "1.0.0")
	if err := chart.Sign(key); err != nil {
		t.Fatal(err)
	}
	h := lab.TestHelmRepo(t, lab.HelmRepoConfig{})
	if err := h.Add(chart); err != nil {
		t.Fatal(err)
	}
	_, signed := helmGet(t, h, "/charts/app-1.0.0.tgz.prov", nil)
	ring, err := key.Ring()
	if err != nil {
		t.Fatal(err)
	}
	entities, err := openpgp.ReadKeyRing(bytes.NewReader(ring))
	if err != nil {
		t.Fatal(err)
	}
	signatory := provenance.Signatory{KeyRing: entities}
	if _, err := signatory.Verify(chart.Archive, []byte(signed), "app-1.0.0.tgz"); err != nil {
		t.Error(err)
	}
	if _, err := signatory.Verify(append(chart.Archive, 'x'), []byte(signed), "app-1.0.0.tgz"); err == nil {
		t.Error("another archive is verified")
	}
}

func TestChartIsPackedFromADirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for path, content := range map[string]string{
		"Chart.yaml": "apiVersion: v2\nname: app\nversion: 1.0.0\n", "templates/a.yaml": "kind: ConfigMap\n", "crds/crd.yaml": "kind: CustomResourceDefinition\n",
	} {
		name := filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	chart, err := lab.PackChartDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := loader.LoadArchive(bytes.NewReader(chart.Archive))
	if err != nil || len(loaded.Templates) != 1 || len(loaded.CRDObjects()) != 1 || chart.File() != "app-1.0.0.tgz" {
		t.Errorf("chart %+v, %v", loaded, err)
	}
}

type helmIndexFile struct {
	APIVersion string `json:"apiVersion"`
	Entries    map[string][]struct {
		Version string   `json:"version"`
		Digest  string   `json:"digest"`
		URLs    []string `json:"urls"`
	} `json:"entries"`
}

func helmIndex(t *testing.T, h *lab.HelmRepo) (index helmIndexFile) {
	t.Helper()
	status, body := helmGet(t, h, "/index.yaml", nil)
	if err := yaml.Unmarshal([]byte(body), &index); status != http.StatusOK || err != nil {
		t.Fatalf("index: %d, %v", status, err)
	}
	return index
}

func helmHeader(t *testing.T, h *lab.HelmRepo, name string) string {
	t.Helper()
	response := helmAsk(t, h, "/index.yaml", nil)
	defer response.Body.Close()
	return response.Header.Get(name)
}

func helmGet(t *testing.T, h *lab.HelmRepo, path string, header map[string]string) (status int, body string) {
	t.Helper()
	response := helmAsk(t, h, path, header)
	defer response.Body.Close()
	bytes, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(bytes)
}

func helmAsk(t *testing.T, h *lab.HelmRepo, path string, header map[string]string) *http.Response {
	t.Helper()
	client, err := h.Client()
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, h.URL()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.SetBasicAuth("anna", "correct-horse")
	for name, value := range header {
		request.Header.Set(name, value)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	return response
}

func simpleChart(t *testing.T, name, version string) *lab.Chart {
	t.Helper()
	chart, err := lab.SimpleChart(name, version, "hello")
	if err != nil {
		t.Fatal(err)
	}
	return chart
}
