package lab

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
)

// RegistryConfig says how a registry is reached and by whom.
type RegistryConfig struct {
	SiteConfig
	// Username and Password pull; both empty: anybody.
	Username, Password string
	// Tokens has clients bring a token, for which Username and Password are given at another path of the site.
	Tokens bool
	// Realm is where clients are sent for a token instead: a URL, which need not be the site's.
	Realm string
	// TagPage is as many tags as a page of the list has; zero: all.
	TagPage int
	// NoReferrers answers 404 where the referrers of a manifest are asked for, as registries do that have no such list.
	NoReferrers bool
}

// Registry is one of OCI artifacts, in memory: Push fills it, past the protocol's users. A client that pushes by the
// protocol has the right to, too.
type Registry struct {
	*Site
	content http.Handler

	mu     sync.Mutex
	config RegistryConfig
	tokens map[string]string // scope by token
}

// StartRegistry begins empty.
func StartRegistry(config RegistryConfig) (*Registry, error) {
	r := &Registry{
		config: config,
		content: registry.New(registry.Logger(log.New(io.Discard, "", 0)),
			registry.WithReferrersSupport(!config.NoReferrers)),
		tokens: map[string]string{},
	}
	var err error
	r.Site, err = startSite(config.SiteConfig, http.HandlerFunc(r.serveRegistry))
	return r, err
}

// TestRegistry is a registry of the test's own.
func TestRegistry(t testing.TB, config RegistryConfig) *Registry {
	t.Helper()
	r, err := StartRegistry(config)
	if err != nil {
		t.Fatal(err)
	}
	stopAfter(t, r.Stop)
	return r
}

// Protect asks for another user and password from now on. Tokens given before are good no more.
func (r *Registry) Protect(user, password string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.config.Username, r.config.Password = user, password
	r.tokens = map[string]string{}
}

// Name is what image references and OCI URLs begin with: host, port and repository.
func (r *Registry) Name(repository string) string { return r.Host() + "/" + repository }

// Manifests counts the manifests that were asked for by HEAD or GET, Blobs the layers and configurations.
func (r *Registry) Manifests() int {
	return r.Count(func(v Visit) bool { return reads(v) && strings.Contains(v.Path, "/manifests/") })
}

// Blobs counts what was asked for by GET.
func (r *Registry) Blobs() int {
	return r.Count(func(v Visit) bool { return v.Method == http.MethodGet && strings.Contains(v.Path, "/blobs/") })
}

// TagLists counts the pages of tags.
func (r *Registry) TagLists() int {
	return r.Count(func(v Visit) bool { return reads(v) && isTags(v.Path) })
}

func reads(v Visit) bool { return v.Method == http.MethodGet || v.Method == http.MethodHead }

func isTags(path string) bool { return strings.HasSuffix(path, "/tags/list") }

const tokenPath = "/token"

func (r *Registry) serveRegistry(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	config := r.config
	r.mu.Unlock()
	if config.Tokens && req.URL.Path == tokenPath {
		r.serveToken(w, req)
		return
	}
	if !r.authorised(config, req) {
		r.challenge(w, req, config)
		return
	}
	if req.Method == http.MethodGet && isTags(req.URL.Path) && config.TagPage > 0 {
		r.serveTags(w, req, config.TagPage)
		return
	}
	r.content.ServeHTTP(w, req)
}

func (r *Registry) authorised(config RegistryConfig, req *http.Request) bool {
	if config.Username == "" && config.Password == "" {
		return true
	}
	if !config.Tokens {
		return basicAuth(req, config.Username, config.Password)
	}
	token, ok := strings.CutPrefix(req.Header.Get("Authorization"), "Bearer ")
	r.mu.Lock()
	scope, known := r.tokens[token]
	r.mu.Unlock()
	return ok && known && covers(scope, req)
}

// covers is true of a token that was given for the repository, or for a question that names none.
func covers(scope string, req *http.Request) bool {
	repository := repositoryOf(req.URL.Path)
	return repository == "" || strings.HasPrefix(scope, "repository:"+repository+":")
}

func repositoryOf(path string) string {
	rest := strings.TrimPrefix(path, "/v2/")
	for _, part := range []string{"/manifests/", "/blobs/", "/tags/", "/referrers/"} {
		if name, _, found := strings.Cut(rest, part); found {
			return name
		}
	}
	return ""
}

func (r *Registry) challenge(w http.ResponseWriter, req *http.Request, config RegistryConfig) {
	challenge := `Basic realm="lab"`
	if config.Tokens {
		realm := config.Realm
		if realm == "" {
			realm = r.URL() + tokenPath
		}
		challenge = fmt.Sprintf(`Bearer realm=%q,service="lab"`, realm)
		if repository := repositoryOf(req.URL.Path); repository != "" {
			challenge += fmt.Sprintf(`,scope="repository:%s:pull"`, repository)
		}
	}
	w.Header().Set("WWW-Authenticate", challenge)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusUnauthorized)
	_, _ = io.WriteString(w, `{"errors":[{"code":"UNAUTHORIZED","message":"`+SecretOfServer+`"}]}`)
}

func (r *Registry) serveToken(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !basicAuth(req, r.config.Username, r.config.Password) {
		http.Error(w, SecretOfServer, http.StatusUnauthorized)
		return
	}
	token := rand.Text()
	r.tokens[token] = req.FormValue("scope")
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"token": token, "expires_in": 300})
}

// serveTags answers a page and says where the next one is.
func (r *Registry) serveTags(w http.ResponseWriter, req *http.Request, size int) {
	query := req.URL.Query()
	status, body := r.direct(http.MethodGet, req.URL.Path, "", nil)
	var list struct {
		Name string   `json:"name"`
		Tags []string `json:"tags"`
	}
	if err := json.Unmarshal(body, &list); status != http.StatusOK || err != nil {
		w.WriteHeader(status)
		_, _ = w.Write(body)
		return
	}
	for last := query.Get("last"); len(list.Tags) > 0 && list.Tags[0] <= last; {
		list.Tags = list.Tags[1:]
	}
	if asked, err := strconv.Atoi(query.Get("n")); err == nil && asked > 0 {
		size = min(size, asked)
	}
	if len(list.Tags) > size {
		list.Tags = list.Tags[:size]
		next := url.Values{"n": {strconv.Itoa(size)}, "last": {list.Tags[size-1]}}
		w.Header().Set("Link", fmt.Sprintf(`<%s?%s>; rel="next"`, req.URL.Path, next.Encode()))
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(list)
}

// direct asks the registry past everything that stands before it.
func (r *Registry) direct(method, path, contentType string, body []byte) (status int, answer []byte) {
	request := httptest.NewRequest(method, "http://registry"+path, bytes.NewReader(body))
	request.Header.Set("Content-Type", contentType)
	recorder := httptest.NewRecorder()
	r.content.ServeHTTP(recorder, request)
	return recorder.Code, recorder.Body.Bytes()
}
