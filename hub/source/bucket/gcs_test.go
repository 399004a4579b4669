package bucket_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/oauth2"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/hub/source/bucket"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/test/lab"
)

// gcsStub answers as the JSON API of Google Cloud Storage does, and gives tokens.
type gcsStub struct {
	*lab.Site
	mu       sync.Mutex
	objects  map[string]string
	gzipped  map[string]bool
	version  map[string]int
	token    string // empty: anybody may read
	tokens   int
	disabled bool
}

func newGCS(t *testing.T, token string) *gcsStub {
	t.Helper()
	s := &gcsStub{objects: map[string]string{}, version: map[string]int{}, gzipped: map[string]bool{}, token: token}
	s.Site = lab.TestSite(t, lab.SiteConfig{}, s)
	return s
}

func (s *gcsStub) put(key, content string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.objects[key] = content
	s.version[key]++
}

func (s *gcsStub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.URL.Path == "/token" {
		if s.disabled || r.FormValue("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" || r.FormValue("assertion") == "" {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"error":"invalid_grant","error_description":"canary"}`)
			return
		}
		s.tokens++
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"access_token":%q,"token_type":"Bearer","expires_in":3600}`, s.token)
		return
	}
	switch got := r.Header.Get("Authorization"); {
	case s.token == "", got == "Bearer "+s.token:
	case got == "":
		http.Error(w, `{"error":{"code":401,"message":"Anonymous caller"}}`, http.StatusUnauthorized)
		return
	default:
		http.Error(w, `{"error":{"code":403}}`, http.StatusForbidden)
		return
	}
	rest, ours := strings.CutPrefix(r.URL.EscapedPath(), "/storage/v1/b/app/o")
	if !ours {
		http.Error(w, `{"error":{"code":404}}`, http.StatusNotFound)
		return
	}
	if rest == "" {
		s.list(w, r)
		return
	}
	key := strings.NewReplacer("%2F", "/", "%20", " ").Replace(strings.TrimPrefix(rest, "/"))
	content, there := s.objects[key]
	wanted := r.URL.Query().Get("ifGenerationMatch")
	switch {
	case r.URL.Query().Get("alt") != "media", !there:
		http.Error(w, "", http.StatusNotFound)
	case wanted != "" && wanted != fmt.Sprint(s.version[key]):
		http.Error(w, "", http.StatusPreconditionFailed)
	default:
		_, _ = io.WriteString(w, content)
	}
}

// list has two objects a page.
func (s *gcsStub) list(w http.ResponseWriter, r *http.Request) {
	var keys []string
	for key := range s.objects {
		if strings.HasPrefix(key, r.URL.Query().Get("prefix")) && key > r.URL.Query().Get("pageToken") {
			keys = append(keys, key)
		}
	}
	sortKeys(keys)
	out := map[string]any{"kind": "storage#objects"}
	if len(keys) > 2 {
		keys = keys[:2]
		out["nextPageToken"] = keys[1]
	}
	var items []map[string]any
	for _, key := range keys {
		item := map[string]any{
			"name": key, "etag": fmt.Sprintf("CO%d=", s.version[key]), "size": fmt.Sprint(len(s.objects[key])), "generation": fmt.Sprint(s.version[key]),
		}
		if s.gzipped[key] {
			item["size"], item["contentEncoding"] = "1", "gzip"
		}
		items = append(items, item)
	}
	out["items"] = items
	_ = json.NewEncoder(w).Encode(out)
}

func (s *gcsStub) upstream(change ...func(*source.Upstream, *flux.Bucket)) source.Upstream {
	return finish(source.Upstream{Secrets: source.Secrets{}}, flux.Bucket{Provider: "gcp", BucketName: "app", Endpoint: s.Host(), Insecure: true}, change...)
}

// account is a service account's key, whose tokens the stub gives.
func (s *gcsStub) account(t *testing.T) map[string][]byte {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(map[string]string{
		"type": "service_account", "client_email": "app@example.iam.gserviceaccount.com", "private_key_id": "1", "token_uri": s.URL() + "/token",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
	})
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{"serviceaccount": text}
}

func TestGoogleCloudStorageIsListedAndRead(t *testing.T) {
	t.Parallel()
	s := newGCS(t, "a-token")
	for key, content := range map[string]string{"a.yaml": "1", "dir/b c.yaml": "2", "dir/": "", "x.md": "3", ".sourceignore": "*.md\n", "packed": "unpacked"} {
		s.put(key, content)
	}
	s.gzipped["packed"] = true
	account := s.account(t)
	u := s.upstream(func(u *source.Upstream, spec *flux.Bucket) {
		u.Secrets["secretRef"], spec.SecretRef = account, &flux.SecretRef{Name: "account"}
	})
	store := &countingStore{}
	fetcher := newFetcher(t, bucket.Config{Store: store})
	fetch := func() map[string]string {
		found, err := fetcher.Resolve(t.Context(), u)
		if err != nil {
			t.Fatal(err)
		}
		want := bucket.Revision([]bucket.Object{
			{Key: "a.yaml", ETag: fmt.Sprintf("CO%d=", s.version["a.yaml"])}, {Key: "dir/b c.yaml", ETag: "CO1="}, {Key: "packed", ETag: "CO1="},
		})
		if found.Revision != want {
			t.Errorf("revision %s, want %s", found.Revision, want)
		}
		fetched, err := fetcher.Fetch(t.Context(), u, found)
		if err != nil {
			t.Fatal(err)
		}
		return contents(t, store, fetched)
	}
	if diff := cmp.Diff(map[string]string{"a.yaml": "1", "dir/b c.yaml": "2", "packed": "unpacked"}, fetch()); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
	s.put("a.yaml", "changed")
	if got := fetch(); got["a.yaml"] != "changed" {
		t.Errorf("tree %v", got)
	}
	if s.tokens != 1 {
		t.Errorf("%d tokens were asked for, want one", s.tokens)
	}
	s.put("a.yaml", "once more")
	found, err := fetcher.Resolve(t.Context(), u)
	if err != nil {
		t.Fatal(err)
	}
	s.put("a.yaml", "again")
	if _, err := fetcher.Fetch(t.Context(), u, found); source.KindOf(err) != source.KindServer || !strings.Contains(err.Error(), "changed while") {
		t.Errorf("error %v, want that the bucket changed", err)
	}
}

func TestGoogleCloudStorageIsReadByWhomTheSpecSays(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		token  string
		change func(*testing.T, *gcsStub, *source.Upstream, *flux.Bucket)
		kind   source.Kind // empty: it is fetched
		want   string
	}{
		"nobody, of an open bucket":  {"", func(*testing.T, *gcsStub, *source.Upstream, *flux.Bucket) {}, "", ""},
		"nobody, of a closed bucket": {"x", func(*testing.T, *gcsStub, *source.Upstream, *flux.Bucket) {}, source.KindAuth, "it is not open to everybody, and the source has no credential; name a Secret in spec.secretRef, or have an administrator"},
		"the hub":                    {"hub-token", func(_ *testing.T, _ *gcsStub, u *source.Upstream, _ *flux.Bucket) { u.Identity = true }, "", ""},
		"the hub, without the right": {"x", func(_ *testing.T, _ *gcsStub, u *source.Upstream, _ *flux.Bucket) { u.Identity = true }, source.KindAuth, "access is denied: the account needs the rights to list the bucket app"},
		"an account that is disabled": {"x", func(t *testing.T, s *gcsStub, u *source.Upstream, _ *flux.Bucket) {
			s.disabled = true
			u.Secrets["secretRef"] = s.account(t)
		}, source.KindAuth, "no token is given for the service account"},
		"no account": {"x", func(_ *testing.T, _ *gcsStub, u *source.Upstream, _ *flux.Bucket) {
			u.Secrets["secretRef"] = map[string][]byte{"x": nil}
		}, source.KindAuth, "spec.secretRef: the Secret has no key serviceaccount"},
		"no JSON": {"x", func(_ *testing.T, _ *gcsStub, u *source.Upstream, _ *flux.Bucket) {
			u.Secrets["secretRef"] = map[string][]byte{"serviceaccount": []byte("canary")}
		}, source.KindAuth, "is not the key of a service account"},
		"another sort of key": {"x", func(_ *testing.T, _ *gcsStub, u *source.Upstream, _ *flux.Bucket) {
			u.Secrets["secretRef"] = map[string][]byte{"serviceaccount": []byte(`{"type":"external_account","credential_source":{"file":"/etc/passwd"}}`)}
		}, source.KindAuth, "type: service_account"},
		"no bucket": {"", func(_ *testing.T, _ *gcsStub, _ *source.Upstream, spec *flux.Bucket) { spec.BucketName = "other" }, source.KindRepository, "there is no bucket other; check spec.bucketName"},
		"down":      {"", func(_ *testing.T, s *gcsStub, _ *source.Upstream, _ *flux.Bucket) { s.Down() }, source.KindConnect, "refused"},
		"a web page": {"", func(_ *testing.T, s *gcsStub, _ *source.Upstream, _ *flux.Bucket) {
			s.Set(lab.Answer(200, `{"html":"canary"}`))
		}, source.KindServer, "is no list of a bucket"},
		"errors": {"", func(_ *testing.T, s *gcsStub, _ *source.Upstream, _ *flux.Bucket) { s.Set(lab.Status(503)) }, source.KindServer, "the server answered 503 (Service Unavailable); it is tried again"},
		"an endless list": {"", func(_ *testing.T, s *gcsStub, _ *source.Upstream, _ *flux.Bucket) {
			s.Set(lab.Answer(200, `{"kind":"storage#objects","nextPageToken":"again"}`))
		}, source.KindLimit, "its list has more than 2000 pages"},
		"a page of nothings": {"", func(_ *testing.T, s *gcsStub, _ *source.Upstream, _ *flux.Bucket) {
			s.Set(lab.Answer(200, `{"kind":"storage#objects","items":[`+strings.Repeat("{},", 200_000)+`{}]}`))
		}, source.KindLimit, "more elements"},
		"a size that is none": {"", func(_ *testing.T, s *gcsStub, _ *source.Upstream, _ *flux.Bucket) {
			s.Set(lab.Answer(200, `{"kind":"storage#objects","items":[{"name":"a","size":"-1"}]}`))
		}, source.KindServer, "is no list"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newGCS(t, tc.token)
			s.put("a", "1")
			store := &countingStore{}
			fetcher := newFetcher(t, bucket.Config{Store: store})
			fetcher.SetIdentity(bucket.Identity{GCP: func() (oauth2.TokenSource, error) {
				return oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "hub-token", TokenType: "Bearer"}), nil
			}})
			u := s.upstream(func(u *source.Upstream, spec *flux.Bucket) { tc.change(t, s, u, spec) })
			err := try(t, fetcher, u)
			switch {
			case tc.kind != "":
				checkFailure(t, err, tc.kind, nil, tc.want)
				if tc.kind == source.KindAuth && !errors.Is(err, fleet.ErrDenied) {
					t.Errorf("%v is no denial", err)
				}
			case err != nil:
				t.Error(err)
			}
		})
	}
}
