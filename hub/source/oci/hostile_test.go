package oci_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/flux"
)

// answers makes a registry answer paths that end so in its own way.
func answers(s *site, end string, answer http.HandlerFunc) {
	s.before = func(w http.ResponseWriter, req *http.Request) bool {
		if !strings.Contains(req.URL.Path, end) {
			return false
		}
		answer(w, req)
		return true
	}
}

func sends(contentType string, body []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Docker-Content-Digest", sha(body))
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		if req.Method != http.MethodHead {
			_, _ = w.Write(body)
		}
	}
}

func endless(w http.ResponseWriter, req *http.Request) {
	w.Header().Set("Content-Type", ocispec.MediaTypeImageManifest)
	if req.Method == http.MethodHead {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	for req.Context().Err() == nil {
		if _, err := w.Write(bytes.Repeat([]byte(" "), 64<<10)); err != nil {
			return
		}
	}
}

func TestHostileRegistriesAreRefusedWithWhatIsWrong(t *testing.T) {
	t.Parallel()
	asJSON := func(manifest map[string]any) []byte {
		raw, err := json.Marshal(manifest)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	config := ocispec.Descriptor{MediaType: fluxConfig, Digest: digest.FromString("{}"), Size: 2}
	lying := archive(t, map[string]string{"a": "b"})
	layer := func(size int64) ocispec.Descriptor {
		return ocispec.Descriptor{MediaType: fluxLayer, Digest: digest.FromBytes(lying), Size: size}
	}
	many := make([]ocispec.Descriptor, 3000)
	for i := range many {
		many[i] = layer(1)
	}
	types := make([]ocispec.Descriptor, 1500)
	for i := range types {
		types[i] = ocispec.Descriptor{MediaType: strconv.Itoa(i) + strings.Repeat("x", 500), Digest: config.Digest}
	}
	selector := &flux.LayerSelector{MediaType: "a/b"}
	manifest := func(layers ...ocispec.Descriptor) http.HandlerFunc {
		return sends(ocispec.MediaTypeImageManifest, asJSON(image(config, layers...)))
	}
	for name, test := range map[string]struct {
		path   string
		answer http.HandlerFunc
		change func(*flux.OCIRepository)
		kind   source.Kind
		says   string
	}{
		"an endless manifest":    {"/manifests/", endless, nil, source.KindLimit, "its manifest has more than 4 MiB"},
		"a manifest of nothing":  {"/manifests/", sends(ocispec.MediaTypeImageManifest, []byte("[]")), nil, source.KindContent, "is not JSON of the form"},
		"a deep manifest":        {"/manifests/", sends(ocispec.MediaTypeImageManifest, []byte(strings.Repeat(`{"a":`, 500_000))), nil, source.KindContent, "is not JSON of the form"},
		"an old manifest":        {"/manifests/", sends("application/vnd.docker.distribution.manifest.v1+prettyjws", []byte("{}")), nil, source.KindContent, `is of media type "application/vnd.docker.distribution.manifest.v1+prettyjws", which is not supported`},
		"thousands of layers":    {"/manifests/", manifest(many...), nil, source.KindContent, "has more than 2000 layers or manifests"},
		"a long list of types":   {"/manifests/", manifest(types...), func(o *flux.OCIRepository) { o.LayerSelector = selector }, source.KindContent, "and 1490 more"},
		"no layers":              {"/manifests/", manifest(), nil, source.KindContent, "has no layers"},
		"a layer of a huge size": {"/manifests/", manifest(layer(1 << 60)), nil, source.KindLimit, "has 1152921504606846976 bytes; a layer may have 52428800"},
		"a layer of no size":     {"/manifests/", manifest(layer(-1)), nil, source.KindContent, "the manifest says that blob " + layer(1).Digest.String() + " has -1 bytes"},
		"a path as a digest":     {"/manifests/", manifest(ocispec.Descriptor{MediaType: fluxLayer, Digest: "../../../v2/other/blobs/sha256:00"}), nil, source.KindContent, `names a blob by "../../../v2/other/blobs/sha256:00", which is not a sha256 digest`},
		"another hash":           {"/manifests/", manifest(ocispec.Descriptor{MediaType: fluxLayer, Digest: digest.SHA512.FromString("")}), nil, source.KindContent, "which is not a sha256 digest"},
		"a digest that is none": {"/manifests/", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Docker-Content-Digest", "sha256:../x")
			w.WriteHeader(http.StatusOK)
		}, nil, source.KindContent, "is not JSON of the form"},
		"more bytes than it says":  {"/manifests/", manifest(layer(int64(len(lying)) - 1)), nil, source.KindContent, fmt.Sprintf("has more than the %d bytes that the manifest says", len(lying)-1)},
		"fewer bytes than it says": {"/manifests/", manifest(layer(int64(len(lying)) + 1)), nil, source.KindContent, fmt.Sprintf("ended after %d of %d bytes", len(lying), len(lying)+1)},
		"another blob":             {"/blobs/", sends("application/octet-stream", append([]byte("x"), good(t)[1:]...)), nil, source.KindContent, "is not of that digest"},
		"an endless blob":          {"/blobs/", endless, nil, source.KindContent, "has more than the"},
		"a blob that is not there": {"/blobs/", http.NotFound, nil, source.KindContent, "which the manifest names, is not there; push the artifact again"},
		"a server that is ill": {"/manifests/", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadGateway)
			_, _ = io.WriteString(w, "canary")
		}, nil, source.KindServer, "the registry answered 502 (Bad Gateway); it is tried again"},
		"one that is asked too much": {"/manifests/", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) }, nil, source.KindBusy, "asked to be left alone"},
		"a list that is none":        {"/tags/", sends("application/json", []byte("<html>canary")), func(o *flux.OCIRepository) { o.Ref = &flux.OCIReference{SemVer: "*"} }, source.KindServer, "the registry's list was not understood"},
		"a list that goes elsewhere": {"/tags/", func(w http.ResponseWriter, req *http.Request) {
			w.Header().Set("Link", `<http://elsewhere.example.com/v2/apps/podinfo/tags/list>; rel="next"`)
			_, _ = io.WriteString(w, `{"tags":["a"]}`)
		}, func(o *flux.OCIRepository) { o.Ref = &flux.OCIReference{SemVer: "*"} }, source.KindRedirect, "the registry's list goes on at another host"},
		"a manifest elsewhere": {"/manifests/", func(w http.ResponseWriter, req *http.Request) {
			http.Redirect(w, req, "http://elsewhere.example.com/", http.StatusFound)
		}, nil, source.KindRedirect, "it redirects to http://elsewhere.example.com, which is not followed"},
		"a blob at the metadata": {"/blobs/", func(w http.ResponseWriter, req *http.Request) {
			http.Redirect(w, req, "http://169.254.169.254/latest/meta-data", http.StatusFound)
		}, nil, source.KindAddress, "its address 169.254.169.254 is not allowed"},
		"a blob in circles": {"/blobs/", func(w http.ResponseWriter, req *http.Request) { http.Redirect(w, req, req.URL.Path, http.StatusFound) }, nil, source.KindRedirect, "it redirects to itself over and over"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, b := plain(t), fetcher(t)
			s.manifest(t, "latest", image(s.blob(t, fluxConfig, []byte("{}")), s.blob(t, fluxLayer, good(t))))
			s.blob(t, fluxLayer, lying)
			answers(s, test.path, test.answer)
			_, got, err := fetched(t.Context(), b, upstream(s, func(o *flux.OCIRepository, _ source.Secrets) {
				if test.change != nil {
					test.change(o)
				}
			}))
			if got != nil {
				t.Error("there is an artifact")
			}
			refused(t, err, test.kind, test.says)
			if len(err.Error()) > 4000 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
		})
	}
}

// good is a layer that has nothing wrong with it.
func good(t *testing.T) []byte {
	return archive(t, map[string]string{"good": strings.Repeat("good", 100)})
}

func TestAHostileLayerIsRefusedWithTheEntryThatIsWrong(t *testing.T) {
	t.Parallel()
	var bomb bytes.Buffer
	writer := gzip.NewWriter(&bomb)
	for range 16 {
		_, _ = writer.Write(make([]byte, 1<<20))
	}
	_ = writer.Close()
	for name, test := range map[string]struct {
		layer []byte
		kind  source.Kind
		says  string
	}{
		"a name that leads out":   {archive(t, map[string]string{"../../etc/passwd": "x"}), source.KindContent, `archive entry "../../etc/passwd"`},
		"an absolute name":        {archive(t, map[string]string{"/etc/passwd": "x"}), source.KindContent, `archive entry "/etc/passwd"`},
		"no archive":              {[]byte("canary"), source.KindContent, "archive: "},
		"nothing":                 {nil, source.KindContent, "archive: it is empty"},
		"a bomb":                  {bomb.Bytes(), source.KindLimit, "unpacks to more than 100 times its size"},
		"patterns without an end": {archive(t, map[string]string{".sourceignore": strings.Repeat("a\n", 20_000)}), source.KindContent, ".sourceignore: a source may have 10000 patterns"},
		"a huge file of patterns": {archive(t, map[string]string{".sourceignore": strings.Repeat("#", 2<<20) + random(1<<20)}), source.KindLimit, `archive entry ".sourceignore"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, b := plain(t), fetcher(t)
			layer := s.blob(t, fluxLayer, test.layer)
			s.manifest(t, "latest", image(s.blob(t, fluxConfig, []byte("{}")), layer))
			_, _, err := fetched(t.Context(), b, upstream(s))
			refused(t, err, test.kind, "layer "+layer.Digest.String()+": ", test.says)
			if b.store.Len() != 0 {
				t.Errorf("%d blobs were stored", b.store.Len())
			}
		})
	}
}

// random is text that does not compress.
func random(n int) string {
	out := make([]byte, n)
	state := uint64(88172645463325252)
	for i := range out {
		state ^= state << 13
		state ^= state >> 7
		state ^= state << 17
		out[i] = 'a' + byte(state%26)
	}
	return string(out)
}

func TestAManifestThatIsNotOfItsDigestIsRefused(t *testing.T) {
	t.Parallel()
	s, b := plain(t), fetcher(t)
	digest := s.artifact(t, "latest", map[string]string{"a": "b"})
	other := s.get(t, "/v2/apps/podinfo/manifests/"+s.artifact(t, "other", map[string]string{"a": "evil"}))
	found, err := b.Resolve(t.Context(), upstream(s))
	if err != nil {
		t.Fatal(err)
	}
	answers(s, "/manifests/", sends(ocispec.MediaTypeImageManifest, other))
	_, err = b.Fetch(t.Context(), upstream(s), found)
	refused(t, err, source.KindContent, "the registry sent another manifest than the one of "+digest)
}

func TestAListThatGoesOnForEverIsLeftSoon(t *testing.T) {
	t.Parallel()
	s, b := plain(t), fetcher(t)
	answers(s, "/tags/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", `</v2/apps/podinfo/tags/list?last=a>; rel="next"`)
		_, _ = io.WriteString(w, `{"tags":["a"]}`)
	})
	_, err := b.Resolve(t.Context(), upstream(s, func(o *flux.OCIRepository, _ source.Secrets) { o.Ref = &flux.OCIReference{SemVer: "*"} }))
	refused(t, err, source.KindLimit, "its list of tags has more than 100000 names or 200 pages")
	if asked := len(s.requests()); asked > 205 {
		t.Errorf("%d requests", asked)
	}
}

func TestIndexesThatGoOnAndOnAreRefused(t *testing.T) {
	t.Parallel()
	s, b := plain(t), fetcher(t)
	next := s.artifact(t, "end", map[string]string{"a": "b"})
	for i := range 10 {
		next = s.manifest(t, "latest", map[string]any{
			"schemaVersion": 2, "mediaType": ocispec.MediaTypeImageIndex, "annotations": map[string]string{"i": strconv.Itoa(i)},
			"manifests": []map[string]any{{"mediaType": ocispec.MediaTypeImageIndex, "digest": next, "size": len(s.get(t, "/v2/apps/podinfo/manifests/"+next))}},
		})
	}
	_, _, err := fetched(t.Context(), b, upstream(s))
	refused(t, err, source.KindContent, "its indexes name indexes more than 4 deep")
}

func TestABlobIsFollowedElsewhereWithoutTheCredential(t *testing.T) {
	t.Parallel()
	s, b := encrypted(t), fetcher(t)
	s.artifact(t, "latest", map[string]string{"a": "b"})
	certificate, key := pair(t)
	cdn := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		for _, name := range []string{"Authorization", "Cookie", "Referer"} {
			if req.Header.Get(name) != "" {
				t.Errorf("%s was sent along", name)
			}
		}
		if len(req.TLS.PeerCertificates) != 0 {
			t.Error("the client's certificate was shown")
		}
		req.URL.Path = "/v2/apps/podinfo/blobs/" + req.URL.Query().Get("digest")
		req.Header.Set("X-Test", "cdn")
		s.Config.Handler.ServeHTTP(w, req)
	}))
	cdn.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	cdn.StartTLS()
	t.Cleanup(cdn.Close)
	s.before = func(w http.ResponseWriter, req *http.Request) bool {
		user, password, _ := req.BasicAuth()
		if user != "anna" || password != "canary" {
			w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
			w.WriteHeader(http.StatusUnauthorized)
			return true
		}
		if i := strings.Index(req.URL.Path, "/blobs/"); i >= 0 {
			http.Redirect(w, req, cdn.URL+"/signed?digest="+req.URL.Path[i+len("/blobs/"):], http.StatusTemporaryRedirect)
			return true
		}
		return false
	}
	_, got, err := fetched(t.Context(), b, upstream(s, withSecret(dockerConfig(s.host(), "anna", "canary")), func(_ *flux.OCIRepository, all source.Secrets) {
		all["certSecretRef"] = map[string][]byte{"ca.crt": append(s.authority(), (&site{Server: cdn}).authority()...), "tls.crt": certificate, "tls.key": key}
	}))
	if err != nil || files(t, b, got.Tree)["a"] != "b" {
		t.Fatal(err)
	}
}

func TestAHungRegistryEndsWithTheTimeout(t *testing.T) {
	t.Parallel()
	s, b := plain(t), fetcher(t)
	s.artifact(t, "latest", map[string]string{"a": "b"})
	answers(s, "/blobs/", func(w http.ResponseWriter, req *http.Request) { <-req.Context().Done() })
	u := upstream(s)
	found, err := b.Resolve(t.Context(), u)
	if err != nil {
		t.Fatal(err)
	}
	u.Timeout = 50 * time.Millisecond
	_, err = b.Fetch(t.Context(), u, found)
	refused(t, err, source.KindTimeout, "no answer within 50ms")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	_, err = b.Fetch(ctx, u, found)
	refused(t, err, source.KindCanceled)
}

func TestARegistryThatIsNotThereIsSaidToBe(t *testing.T) {
	t.Parallel()
	s, b := plain(t), fetcher(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	_, err = b.Resolve(t.Context(), upstream(s, func(o *flux.OCIRepository, _ source.Secrets) { o.URL = "oci://" + address + "/a" }))
	refused(t, err, source.KindConnect, "the connection was refused")
}

func sends404(w http.ResponseWriter, req *http.Request) { http.NotFound(w, req) }
