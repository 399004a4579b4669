package helm_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/test/lab"
)

// server is a Helm repository over HTTP, below /charts.
type server struct {
	*lab.HelmRepo
	told int // of the visits
}

func serve(t *testing.T, config ...lab.HelmRepoConfig) *server {
	t.Helper()
	if len(config) == 0 {
		config = append(config, lab.HelmRepoConfig{})
	}
	return &server{HelmRepo: lab.TestHelmRepo(t, config[0])}
}

func (s *server) spec() flux.HelmRepository { return flux.HelmRepository{URL: s.URL() + "/charts"} }

// publish serves charts with their index, the way helm repo index writes it.
func (s *server) publish(charts ...[]byte) []byte {
	var index strings.Builder
	index.WriteString("apiVersion: v1\nentries:\n")
	for i, data := range charts {
		name := fmt.Sprintf("podinfo-%d.tgz", i+1)
		sum := sha256.Sum256(data)
		if i == 0 {
			index.WriteString("  podinfo:\n")
		}
		fmt.Fprintf(&index, "  - apiVersion: v2\n    created: \"2024-01-0%dT00:00:00Z\"\n    digest: %s\n    name: podinfo\n    urls:\n    - %s\n    version: %d.0.0\n", i+1, hex.EncodeToString(sum[:]), name, i+1)
		s.ServeFile("/charts/"+name, data)
	}
	index.WriteString("generated: \"2024-01-01T00:00:00Z\"\n")
	s.ServeFile("/charts/index.yaml", []byte(index.String()))
	return []byte(index.String())
}

// publishAt serves an index whose one chart is at an address, and says nothing of its digest.
func (s *server) publishAt(address string) {
	s.ServeFile("/charts/index.yaml", []byte("apiVersion: v1\nentries:\n  podinfo:\n  - name: podinfo\n    version: 1.0.0\n    urls: ['"+address+"']\n"))
}

// breakAt has the fault strike what asks for one path.
func (s *server) breakAt(path string, fault lab.Fault) {
	s.SetFor(func(r *http.Request) bool { return r.URL.Path == path }, fault)
}

// seen are the requests since it was asked last: what for, status, user.
func (s *server) seen() (seen []string) {
	visits := s.Visits()
	for _, v := range visits[s.told:] {
		if v.Query != "" {
			v.Path += "?" + v.Query
		}
		username, _, _ := (&http.Request{Header: v.Header}).BasicAuth()
		seen = append(seen, fmt.Sprintf("%s %d %s", v.Path, v.Status, username))
	}
	s.told = len(visits)
	return seen
}
