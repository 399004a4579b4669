package lab

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sigs.k8s.io/yaml"
)

// HelmRepoConfig says how a Helm repository is reached and by whom.
type HelmRepoConfig struct {
	SiteConfig
	// Username and Password read; both empty: anybody.
	Username, Password string
	// Unconditional answers every question for the index in full: it has neither ETag nor Last-Modified.
	Unconditional bool
}

// HelmRepo serves charts and their index. An index of the same charts is the same to the byte.
type HelmRepo struct {
	*Site
	config HelmRepoConfig

	mu      sync.Mutex
	entries map[string][]helmEntry // by chart, newest first
	files   map[string][]byte      // by path
	charts  string                 // URL that charts are below; empty: the index's own place
	raw     []byte                 // in place of the index
	changed time.Time
}

// helmEntry is one version in the index: the chart's own metadata, and where its archive is.
type helmEntry map[string]any

// epoch is when everything here was made.
const epoch = "2024-01-01T00:00:00Z"

// StartHelmRepo begins without a chart.
func StartHelmRepo(config HelmRepoConfig) (*HelmRepo, error) {
	h := &HelmRepo{config: config, entries: map[string][]helmEntry{}, files: map[string][]byte{}, changed: time.Now()}
	var err error
	h.Site, err = startSite(config.SiteConfig, http.HandlerFunc(h.serveHelm))
	return h, err
}

// TestHelmRepo is a repository of the test's own.
func TestHelmRepo(t testing.TB, config HelmRepoConfig) *HelmRepo {
	t.Helper()
	h, err := StartHelmRepo(config)
	if err != nil {
		t.Fatal(err)
	}
	stopAfter(t, h.Stop)
	return h
}

// Protect asks for another user and password from now on.
func (h *HelmRepo) Protect(user, password string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.config.Username, h.config.Password = user, password
}

// Add puts a chart into the index, in place of one of that name and version.
func (h *HelmRepo) Add(c *Chart) error {
	entry := helmEntry{}
	if err := yaml.Unmarshal(c.Metadata, &entry); err != nil {
		return err
	}
	entry["digest"], entry["created"] = hexSum(c.Archive), epoch
	h.mu.Lock()
	defer h.mu.Unlock()
	others := slices.DeleteFunc(h.entries[c.Name], func(e helmEntry) bool { return e["version"] == c.Version })
	h.entries[c.Name] = append([]helmEntry{entry}, others...)
	h.files["/charts/"+c.File()] = c.Archive
	if c.Provenance != "" {
		h.files["/charts/"+c.File()+".prov"] = []byte(c.Provenance)
	}
	h.change()
	return nil
}

// Remove takes a version of a chart out of the index.
func (h *HelmRepo) Remove(name, version string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	before := len(h.entries[name])
	h.entries[name] = slices.DeleteFunc(h.entries[name], func(e helmEntry) bool { return e["version"] == version })
	if len(h.entries[name]) == before {
		return fmt.Errorf("no chart %s of version %s", name, version)
	}
	h.change()
	return nil
}

// ServeFile puts a file at a path, such as a chart that is not what the index says.
func (h *HelmRepo) ServeFile(path string, content []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.files["/"+strings.TrimPrefix(path, "/")] = content
}

// ChartsAt has the index name charts below another URL; empty: below its own. The archives are served here all the
// same.
func (h *HelmRepo) ChartsAt(url string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.charts = url
	h.change()
}

// SetIndex serves that in place of the index, well made or not; nil: the index again.
func (h *HelmRepo) SetIndex(content []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.raw = content
	h.change()
}

// change moves the time of the last change, by whole seconds as Last-Modified counts them.
func (h *HelmRepo) change() { h.changed = h.changed.Add(time.Second) }

// Indexes counts the indexes that were sent, NotModified those that were not since the client had the same.
func (h *HelmRepo) Indexes() int {
	return h.Count(func(v Visit) bool { return isIndex(v) && v.Status == http.StatusOK })
}

// NotModified counts questions for an index that the client had already.
func (h *HelmRepo) NotModified() int {
	return h.Count(func(v Visit) bool { return isIndex(v) && v.Status == http.StatusNotModified })
}

// Downloads counts the charts that were asked for.
func (h *HelmRepo) Downloads() int {
	return h.Count(func(v Visit) bool { return strings.HasSuffix(v.Path, ".tgz") })
}

func isIndex(v Visit) bool { return strings.HasSuffix(v.Path, "/index.yaml") }

func (h *HelmRepo) serveHelm(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	user, password := h.config.Username, h.config.Password
	content, changed, err := h.content(r.URL.Path)
	h.mu.Unlock()
	switch {
	case (user != "" || password != "") && !basicAuth(r, user, password):
		w.Header().Set("WWW-Authenticate", `Basic realm="lab"`)
		http.Error(w, SecretOfServer, http.StatusUnauthorized)
	case err != nil:
		http.Error(w, SecretOfServer, http.StatusNotFound)
	default:
		if h.config.Unconditional {
			changed = time.Time{}
		} else {
			w.Header().Set("ETag", `"`+hexSum(content)+`"`)
		}
		http.ServeContent(w, r, r.URL.Path, changed, strings.NewReader(string(content)))
	}
}

func (h *HelmRepo) content(path string) ([]byte, time.Time, error) {
	if content, ok := h.files[path]; ok {
		return content, h.changed, nil
	}
	if path != "/index.yaml" {
		return nil, time.Time{}, errors.New("not there")
	}
	if h.raw != nil {
		return h.raw, h.changed, nil
	}
	content, err := yaml.Marshal(map[string]any{"apiVersion": "v1", "generated": epoch, "entries": h.index()})
	return content, h.changed, err
}

func (h *HelmRepo) index() map[string][]helmEntry {
	base := h.charts
	if base != "" {
		base = strings.TrimSuffix(base, "/") + "/"
	}
	entries := map[string][]helmEntry{}
	for name, versions := range h.entries {
		for _, version := range versions {
			entry := maps.Clone(version)
			entry["urls"] = []string{fmt.Sprintf("%scharts/%s-%s.tgz", base, name, version["version"])}
			entries[name] = append(entries[name], entry)
		}
	}
	return entries
}
