package oci_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/hub/source/oci"
	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/flux"
)

// site is a registry, and what was asked of it.
type site struct {
	*httptest.Server
	// before answers a request in the registry's place, if it returns true.
	before func(w http.ResponseWriter, req *http.Request) bool

	mu    sync.Mutex
	asked []string
	sent  []http.Header
}

// plain is a registry that speaks HTTP, encrypted one that speaks HTTPS.
func plain(t *testing.T) *site { return start(t, false) }

func encrypted(t *testing.T) *site { return start(t, true) }

func start(t *testing.T, encrypt bool) *site {
	t.Helper()
	s := &site{}
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)), registry.WithReferrersSupport(true))
	handler := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Header.Get("X-Test") == "" {
			s.mu.Lock()
			s.asked = append(s.asked, req.Method+" "+req.URL.Path)
			s.sent = append(s.sent, req.Header.Clone())
			s.mu.Unlock()
			if s.before != nil && s.before(w, req) {
				return
			}
		}
		inner.ServeHTTP(w, req)
	})
	s.Server = httptest.NewUnstartedServer(handler)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	if encrypt {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
}

func (s *site) host() string { return s.Listener.Addr().String() }

// requests are what was asked since the last call.
func (s *site) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.asked
	s.asked, s.sent = nil, nil
	return asked
}

// credentials are the Authorization headers since the last call of requests.
func (s *site) credentials() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []string
	for _, header := range s.sent {
		if value := header.Get("Authorization"); value != "" && !slices.Contains(found, value) {
			found = append(found, value)
		}
	}
	return found
}

func (s *site) authority() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}

func (s *site) put(t *testing.T, method, path, contentType string, body []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Test", "push")
	req.Header.Set("Content-Type", contentType)
	res, err := s.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if res.StatusCode/100 != 2 {
		t.Fatalf("%s %s: %s: %s", method, path, res.Status, text)
	}
}

// blob pushes a blob.
func (s *site) blob(t *testing.T, mediaType string, content []byte) ocispec.Descriptor {
	t.Helper()
	d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(content), Size: int64(len(content))}
	s.put(t, http.MethodPost, "/v2/apps/podinfo/blobs/uploads/?digest="+d.Digest.String(), "application/octet-stream", content)
	return d
}

// manifest pushes a manifest, or an index, by a tag.
func (s *site) manifest(t *testing.T, tag string, manifest map[string]any) string {
	t.Helper()
	raw, err := json.Marshal(manifest)
	if err != nil {
		t.Fatal(err)
	}
	mediaType, _ := manifest["mediaType"].(string)
	s.put(t, http.MethodPut, "/v2/apps/podinfo/manifests/"+tag, mediaType, raw)
	return digest.FromBytes(raw).String()
}

const (
	fluxLayer  = "application/vnd.cncf.flux.content.v1.tar+gzip"
	fluxConfig = "application/vnd.cncf.flux.config.v1+json"
)

// artifact pushes an artifact of the files, as `flux push artifact` does.
func (s *site) artifact(t *testing.T, tag string, files map[string]string) string {
	t.Helper()
	return s.manifest(t, tag, image(s.blob(t, fluxConfig, []byte("{}")), s.blob(t, fluxLayer, archive(t, files))))
}

func image(config ocispec.Descriptor, layers ...ocispec.Descriptor) map[string]any {
	return map[string]any{
		"schemaVersion": 2, "mediaType": ocispec.MediaTypeImageManifest, "config": config, "layers": layers,
		"annotations": map[string]string{"org.opencontainers.image.source": "https://git.example.com/podinfo", "org.opencontainers.image.revision": "main@sha1:0a"},
	}
}

func archive(t *testing.T, files map[string]string) []byte {
	return packed(t, files, gzip.DefaultCompression)
}

func packed(t *testing.T, files map[string]string, level int) []byte {
	t.Helper()
	var out bytes.Buffer
	packed, err := gzip.NewWriterLevel(&out, level)
	if err != nil {
		t.Fatal(err)
	}
	writer := tar.NewWriter(packed)
	for _, name := range slices.Sorted(mapKeys(files)) {
		if err := writer.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(files[name])), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(writer, files[name]); err != nil {
			t.Fatal(err)
		}
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	if err := packed.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func mapKeys(m map[string]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for key := range m {
			if !yield(key) {
				return
			}
		}
	}
}

// bundle is a fetcher with what it writes to.
type bundle struct {
	*oci.OCI
	store *artifact.Memory
}

func fetcher(t *testing.T, change ...func(*oci.Config, *source.NetworkConfig)) bundle {
	t.Helper()
	store := &artifact.Memory{}
	metrics := source.NewMetrics(nil)
	network := source.NetworkConfig{Metrics: metrics}
	config := oci.Config{Dir: t.TempDir(), Store: store, Metrics: metrics, Log: slog.New(slog.DiscardHandler)}
	for _, f := range change {
		f(&config, &network)
	}
	config.Network = source.NewNetwork(network)
	o, err := oci.New(config)
	if err != nil {
		t.Fatal(err)
	}
	return bundle{o, store}
}

// upstream is one of the site's repository apps/podinfo.
func upstream(s *site, change ...func(*flux.OCIRepository, source.Secrets)) source.Upstream {
	spec := flux.OCIRepository{URL: "oci://" + s.host() + "/apps/podinfo", Insecure: strings.HasPrefix(s.URL, "http://")}
	secrets := source.Secrets{}
	if !spec.Insecure {
		secrets["certSecretRef"] = map[string][]byte{"ca.crt": s.authority()}
	}
	for _, f := range change {
		f(&spec, secrets)
	}
	return source.Upstream{ID: "id", Remote: "remote", Kind: "OCIRepository", URL: spec.URL, Spec: spec, Secrets: secrets}
}

// dockerConfig is a Secret of type kubernetes.io/dockerconfigjson.
func dockerConfig(address, user, password string) map[string][]byte {
	auth := base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
	return map[string][]byte{".dockerconfigjson": fmt.Appendf(nil, `{"auths":{%q:{"auth":%q}}}`, address, auth)}
}

// files are the Tree's, with their contents.
func files(t *testing.T, b bundle, tree *artifact.Tree) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, file := range tree.Files {
		content, err := b.store.Get(t.Context(), file.Digest)
		if err != nil {
			t.Fatal(err)
		}
		out[file.Path] = string(content)
	}
	return out
}

// fetched resolves and fetches.
func fetched(ctx context.Context, b bundle, u source.Upstream) (source.Found, *source.Artifact, error) {
	found, err := b.Resolve(ctx, u)
	if err != nil {
		return found, nil, err
	}
	got, err := b.Fetch(ctx, u, found)
	return found, got, err
}

// refused wants an error of the kind that says all of it, and none of what is secret.
func refused(t *testing.T, err error, kind source.Kind, says ...string) {
	t.Helper()
	if err == nil || source.KindOf(err) != kind {
		t.Fatalf("error %v of kind %s, want %s", err, source.KindOf(err), kind)
	}
	for _, text := range says {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("error %q does not say %q", err, text)
		}
	}
	if strings.Contains(err.Error(), "canary") {
		t.Errorf("error %q has a secret", err)
	}
}

func sha(content []byte) string {
	sum := sha256.Sum256(content)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func (s *site) get(t *testing.T, path string) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Test", "look")
	res, err := s.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, error %v", path, res.Status, err)
	}
	return body
}

// pair is a client's certificate with its key.
func pair(t *testing.T) (certificate, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: encoded})
}
