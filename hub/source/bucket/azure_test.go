package bucket_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"html"
	"io"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/google/go-cmp/cmp"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/hub/source/bucket"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/test/lab"
)

// azureStub answers as Blob Storage does, and as the authority that gives tokens.
type azureStub struct {
	*lab.Site
	mu      sync.Mutex
	objects map[string]string
	version map[string]int
	// allowed says whether a request may read.
	allowed func(*http.Request) bool
	tokens  int
	refuse  bool
}

func newAzure(t *testing.T, authority *lab.Authority, allowed func(*http.Request) bool) *azureStub {
	t.Helper()
	s := &azureStub{objects: map[string]string{}, version: map[string]int{}, allowed: allowed}
	s.Site = lab.TestSite(t, lab.SiteConfig{Authority: authority}, s)
	return s
}

func (s *azureStub) put(key, content string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.objects[key] = content
	s.version[key]++
}

func sortKeys(keys []string) { slices.Sort(keys) }

func azureError(w http.ResponseWriter, status int, code string) {
	w.Header().Set("x-ms-error-code", code)
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code><Message>canary</Message></Error>", code)
}

func (s *azureStub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if strings.HasSuffix(r.URL.Path, "/openid-configuration") {
		base := s.URL() + "/tenant"
		_, _ = fmt.Fprintf(w, `{"token_endpoint":"%[1]s/oauth2/v2.0/token","authorization_endpoint":"%[1]s/oauth2/v2.0/authorize","issuer":"%[1]s/v2.0"}`, base)
		return
	}
	if strings.HasSuffix(r.URL.Path, "/oauth2/v2.0/token") {
		w.Header().Set("Content-Type", "application/json")
		if s.refuse || r.FormValue("client_id") != "client" || (r.FormValue("client_secret") != "correct-horse" && r.FormValue("client_assertion") == "") {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"error":"invalid_client","error_description":"canary"}`)
			return
		}
		s.tokens++
		_, _ = io.WriteString(w, `{"access_token":"a-token","token_type":"Bearer","expires_in":3600,"ext_expires_in":3600}`)
		return
	}
	if !s.allowed(r) {
		azureError(w, http.StatusForbidden, "AuthenticationFailed")
		return
	}
	rest, ours := strings.CutPrefix(r.URL.Path, "/app")
	switch key := strings.TrimPrefix(rest, "/"); {
	case !ours:
		azureError(w, http.StatusNotFound, "ContainerNotFound")
	case key == "":
		s.list(w, r)
	default:
		s.get(w, r, key)
	}
}

func (s *azureStub) get(w http.ResponseWriter, r *http.Request, key string) {
	content, there := s.objects[key]
	etag := fmt.Sprintf(`"0x%d"`, s.version[key])
	switch wanted := r.Header.Get("If-Match"); {
	case !there:
		azureError(w, http.StatusNotFound, "BlobNotFound")
	case wanted != "" && wanted != etag:
		azureError(w, http.StatusPreconditionFailed, "ConditionNotMet")
	default:
		w.Header().Set("ETag", etag)
		_, _ = io.WriteString(w, content)
	}
}

// list has two blobs a page.
func (s *azureStub) list(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	var keys []string
	for key := range s.objects {
		if strings.HasPrefix(key, query.Get("prefix")) && key > query.Get("marker") {
			keys = append(keys, key)
		}
	}
	sortKeys(keys)
	next := ""
	if len(keys) > 2 {
		keys, next = keys[:2], keys[1]
	}
	w.Header().Set("Content-Type", "application/xml")
	_, _ = io.WriteString(w, `<?xml version="1.0" encoding="utf-8"?><EnumerationResults ContainerName="app"><Blobs>`)
	for _, key := range keys {
		_, _ = fmt.Fprintf(w, `<Blob><Name>%s</Name><Properties><Etag>0x%d</Etag><Content-Length>%d</Content-Length><BlobType>BlockBlob</BlobType></Properties></Blob>`,
			html.EscapeString(key), s.version[key], len(s.objects[key]))
	}
	_, _ = fmt.Fprintf(w, `</Blobs><NextMarker>%s</NextMarker></EnumerationResults>`, next)
}

func (s *azureStub) upstream(authority *lab.Authority, change ...func(*source.Upstream, *flux.Bucket)) source.Upstream {
	u := source.Upstream{Secrets: source.Secrets{}}
	if authority != nil {
		u.Secrets["certSecretRef"] = map[string][]byte{"ca.crt": authority.PEM()}
	}
	return finish(u, flux.Bucket{Provider: "azure", BucketName: "app", Endpoint: s.URL()}, change...)
}

func everybody(*http.Request) bool { return true }

// The ETags of the revision are those of answers with blobs, in quotes, as Flux has them since 2.7.
func TestAzureBlobStorageIsListedAndRead(t *testing.T) {
	t.Parallel()
	s := newAzure(t, nil, everybody)
	for key, content := range map[string]string{"a.yaml": "1", "dir/b & c.yaml": "2", "x.md": "3", ".sourceignore": "*.md\n", "z": ""} {
		s.put(key, content)
	}
	store := &countingStore{}
	fetcher := newFetcher(t, bucket.Config{Store: store})
	u := s.upstream(nil)
	found, err := fetcher.Resolve(t.Context(), u)
	if err != nil {
		t.Fatal(err)
	}
	want := bucket.Revision([]bucket.Object{{Key: "a.yaml", ETag: `"0x1"`}, {Key: "dir/b & c.yaml", ETag: `"0x1"`}, {Key: "z", ETag: `"0x1"`}})
	if found.Revision != want {
		t.Errorf("revision %s, want %s", found.Revision, want)
	}
	fetched, err := fetcher.Fetch(t.Context(), u, found)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"a.yaml": "1", "dir/b & c.yaml": "2", "z": ""}, contents(t, store, fetched)); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
	before := len(s.Visits())
	s.put("a.yaml", "changed")
	if _, err := fetcher.Fetch(t.Context(), u, found); err != nil {
		t.Errorf("what was fetched is not there any more: %v", err)
	}
	if got := len(s.Visits()) - before; got != 0 {
		t.Errorf("%d requests for what was fetched already", got)
	}
	if found, err = fetcher.Resolve(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	s.put("a.yaml", "again")
	if _, err := fetcher.Fetch(t.Context(), u, found); source.KindOf(err) != source.KindServer || !strings.Contains(err.Error(), "changed while") {
		t.Errorf("error %v, want that the bucket changed", err)
	}
}

// fixedToken is the hub's identity.
type fixedToken string

func (f fixedToken) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: string(f), ExpiresOn: time.Now().Add(time.Hour)}, nil
}

func TestAzureBlobStorageIsReadByWhomTheSpecSays(t *testing.T) {
	t.Parallel()
	authority := lab.TestAuthority(t)
	certificate := principalCertificate(t)
	bearer := func(token string) func(*http.Request) bool {
		return func(r *http.Request) bool { return r.Header.Get("Authorization") == "Bearer "+token }
	}
	accountKey := base64.StdEncoding.EncodeToString([]byte("the key of an account"))
	type secret = map[string]string
	for name, tc := range map[string]struct {
		secret  secret // %s is the stub's URL
		allowed func(*http.Request) bool
		change  func(*azureStub, *source.Upstream, *flux.Bucket)
		kind    source.Kind // empty: it is fetched
		want    string
	}{
		"nobody, of an open container":  {nil, everybody, nil, "", ""},
		"nobody, of a closed container": {nil, bearer("x"), nil, source.KindAuth, "it is not open to everybody, or not there, and the source has no credential; name a Secret"},
		"a principal's secret":          {secret{"tenantId": "tenant", "clientId": "client", "clientSecret": "correct-horse", "authorityHost": "%s"}, bearer("a-token"), nil, "", ""},
		"a principal's certificate":     {secret{"tenantId": "tenant", "clientId": "client", "clientCertificate": certificate, "authorityHost": "%s", "clientCertificateSendChain": "true"}, bearer("a-token"), nil, "", ""},
		"a wrong secret":                {secret{"tenantId": "tenant", "clientId": "client", "clientSecret": "canary", "authorityHost": "%s"}, bearer("a-token"), nil, source.KindAuth, "no token is given for the account; correct the Secret"},
		"a certificate that is none":    {secret{"tenantId": "tenant", "clientId": "client", "clientCertificate": "canary"}, bearer("a-token"), nil, source.KindAuth, "clientCertificate in the Secret is not a certificate with its key"},
		"an account's key":              {secret{"accountKey": accountKey}, func(r *http.Request) bool { return strings.HasPrefix(r.Header.Get("Authorization"), "SharedKey 127:") }, nil, "", ""},
		"an account's key that is none": {secret{"accountKey": "canary!"}, everybody, nil, source.KindAuth, "accountKey in the Secret is not the key of an account in base64"},
		"a shared access signature": {secret{"sasKey": "?sv=2020&sig=abc%%3D"}, func(r *http.Request) bool {
			return r.URL.Query().Get("sig") == "abc=" && r.URL.Query().Get("sv") == "2020"
		}, nil, "", ""},
		"a signature beside the URL's query": {secret{"sasKey": "sig=abc"}, func(r *http.Request) bool { return r.URL.Query().Get("sig") == "abc" && r.URL.Query().Get("sv") == "1" }, func(_ *azureStub, _ *source.Upstream, s *flux.Bucket) { s.Endpoint += "?sv=1" }, "", ""},
		"a signature that ran out":           {secret{"sasKey": "sig=canary"}, bearer("x"), nil, source.KindAuth, "the credential is not taken: it is wrong or ran out"},
		"a signature that is none":           {secret{"sasKey": "sig=%%zz-canary"}, everybody, nil, source.KindAuth, "sasKey in the Secret is not the query of a URL"},
		"a managed identity":                 {secret{"clientId": "client"}, bearer("hub-client"), func(_ *azureStub, u *source.Upstream, _ *flux.Bucket) { u.Identity = true }, "", ""},
		"one that is not granted":            {secret{"clientId": "client"}, bearer("hub-client"), nil, source.KindAuth, "none is granted to this source"},
		"the hub":                            {nil, bearer("hub-"), func(_ *azureStub, u *source.Upstream, _ *flux.Bucket) { u.Identity = true }, "", ""},
		"a Secret of nothing":                {secret{"user": "canary"}, everybody, nil, source.KindAuth, "has no credential: tenantId, clientId and clientSecret or clientCertificate; or accountKey; or sasKey; or clientId alone"},
		"an authority alone":                 {secret{"authorityHost": "%s"}, everybody, nil, source.KindAuth, "has no credential"},
		"no container":                       {nil, everybody, func(_ *azureStub, _ *source.Upstream, s *flux.Bucket) { s.BucketName = "other" }, source.KindRepository, "there is no container other in that account; check spec.bucketName"},
		"a web page":                         {nil, everybody, func(s *azureStub, _ *source.Upstream, _ *flux.Bucket) { s.Set(lab.Answer(200, "<html>canary</html>")) }, source.KindServer, "is no list of a bucket"},
		"down":                               {nil, everybody, func(s *azureStub, _ *source.Upstream, _ *flux.Bucket) { s.Down() }, source.KindConnect, "refused"},
		"errors":                             {secret{"sasKey": "sig=canary"}, everybody, func(s *azureStub, _ *source.Upstream, _ *flux.Bucket) { s.Set(lab.Status(500)) }, source.KindServer, "the server answered 500 (Internal Server Error); it is tried again"},
		"an endless list": {nil, everybody, func(s *azureStub, _ *source.Upstream, _ *flux.Bucket) {
			s.Set(lab.Answer(200, "<EnumerationResults><Blobs></Blobs><NextMarker>again</NextMarker></EnumerationResults>"))
		}, source.KindLimit, "its list has more than 2000 pages"},
		"a page of nothings": {nil, everybody, func(s *azureStub, _ *source.Upstream, _ *flux.Bucket) {
			s.Set(lab.Answer(200, "<EnumerationResults><Blobs>"+strings.Repeat("<Blob/>", 200_000)+"</Blobs></EnumerationResults>"))
		}, source.KindLimit, "more elements"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newAzure(t, authority, tc.allowed)
			s.put("a", "1")
			fetcher := newFetcher(t, bucket.Config{})
			fetcher.SetIdentity(bucket.Identity{Azure: func(clientID string) (azcore.TokenCredential, error) { return fixedToken("hub-" + clientID), nil }})
			u := s.upstream(authority, func(u *source.Upstream, spec *flux.Bucket) {
				if tc.secret != nil {
					u.Secrets["secretRef"] = map[string][]byte{}
					for key, value := range tc.secret {
						if strings.Contains(value, "%") {
							value = strings.ReplaceAll(strings.ReplaceAll(value, "%%", "%"), "%s", s.URL())
						}
						u.Secrets["secretRef"][key] = []byte(value)
					}
				}
				if tc.change != nil {
					tc.change(s, u, spec)
				}
			})
			err := try(t, fetcher, u)
			switch {
			case tc.kind != "":
				checkFailure(t, err, tc.kind, nil, tc.want)
			case err != nil:
				t.Error(err)
			}
		})
	}
}

// principalCertificate is one with its key, of the sort that Azure takes.
func principalCertificate(t *testing.T) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})) +
		string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
}
