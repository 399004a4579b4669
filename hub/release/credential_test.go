package release_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"flotilla.dev/flotilla/hub/release"
	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
	"flotilla.dev/flotilla/test/lab"
)

// memory is a Fetcher of upstreams that are in memory: what is set by kind and URL is what they have.
type memory struct {
	mu        sync.Mutex
	store     artifact.Store
	content   map[string]string // by "Kind URL"
	fail      map[string]error
	resolved  map[string]int
	fetched   map[string]int
	upstreams map[string]source.Upstream // as last fetched
}

// inMemory makes all Sources of a bundle be had from a memory.
func inMemory(m *memory) func(*release.Config) {
	m.content, m.fail, m.resolved, m.fetched, m.upstreams = map[string]string{}, map[string]error{}, map[string]int{}, map[string]int{}, map[string]source.Upstream{}
	return func(c *release.Config) { m.store, c.Fetcher = c.Blobs, m }
}

func (m *memory) name(u source.Upstream) string { return u.Kind + " " + u.URL }

func (m *memory) set(name, content string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.content[name] = content
	delete(m.fail, name)
}

func (m *memory) breakWith(name string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail[name] = err
}

func (m *memory) upstream(name string) source.Upstream {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.upstreams[name]
}

func (m *memory) fetches(name string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.fetched[name]
}

func (m *memory) Resolve(_ context.Context, u source.Upstream) (source.Found, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	name := m.name(u)
	m.resolved[name]++
	if err := m.fail[name]; err != nil {
		return source.Found{}, err
	}
	found := source.Found{Revision: fleet.Revision("sha256:" + m.content[name])}
	for _, input := range u.Inputs {
		found.Inputs = fleet.DigestOf(append(found.Inputs.Bytes(), input.Tree.Bytes()...))
	}
	return found, nil
}

func (m *memory) Fetch(ctx context.Context, u source.Upstream, _ source.Found) (*source.Artifact, error) {
	m.mu.Lock()
	name := m.name(u)
	m.fetched[name]++
	m.upstreams[name] = u
	content := fmt.Sprintf(configMap, "a", m.content[name])
	for _, input := range u.Inputs {
		content += fmt.Sprintf("# %s %s\n", input.Field, input.Tree)
	}
	m.mu.Unlock()
	if err := m.store.Put(ctx, map[fleet.Digest][]byte{fleet.DigestOf([]byte(content)): []byte(content)}); err != nil {
		return nil, err
	}
	tree, err := artifact.NewTree([]artifact.File{{Path: "a.yaml", Mode: artifact.Regular, Digest: fleet.DigestOf([]byte(content)), Size: int64(len(content))}})
	return &source.Artifact{Tree: tree, Detail: fleet.ArtifactDetail{Size: int64(len(content))}}, err
}

// source declares a Source of a kind in a namespace.
func (b *bundle) source(kind, namespace, name, spec string) {
	b.t.Helper()
	b.apply(fmt.Sprintf(`{"apiVersion":"source.toolkit.fluxcd.io/v1","kind":%q,"metadata":{"name":%q,"namespace":%q},"spec":{%s}}`, kind, name, namespace, spec))
}

func (b *bundle) secret(namespace, name, key, value string) {
	b.t.Helper()
	b.apply(fmt.Sprintf(`{"apiVersion":"v1","kind":"Secret","metadata":{"name":%q,"namespace":%q},"stringData":{%q:%q}}`, name, namespace, key, value))
}

// eventuallyOf waits until a Source is as check wants it.
func (b *bundle) eventuallyOf(kind, namespace, name string, check func(fleet.SourceState) error) fleet.SourceState {
	b.t.Helper()
	var state fleet.SourceState
	lab.Eventually(b.t, 2*time.Minute, kind+"/"+namespace+"/"+name, func() error {
		states, err := b.Sources(b.t.Context())
		if err != nil {
			return err
		}
		state = states[fleet.Key{Home: fleet.HubHome, Kind: kind, Namespace: namespace, Name: name}]
		return check(state)
	})
	return state
}

func good(s fleet.SourceState) error {
	if s.TreeBlob.IsZero() || s.Reason != "" || s.CheckedAt.Year() < 2000 || !s.StaleSince.IsZero() || s.Tree != s.Latest.Tree {
		return fmt.Errorf("at %+v", s)
	}
	return nil
}

func TestSourceIsFetchedWithTheCredentialOfTheLongestPrefixItsNamespaceMayUse(t *testing.T) {
	t.Parallel()
	var m memory
	b := newBundleWith(t, inMemory(&m))
	for _, name := range []string{"wide", "narrow", "other", "registry", "proxy"} {
		b.secret("flux-system", name, "password", name)
	}
	credential := func(name, spec string) {
		b.apply(fmt.Sprintf(`{"apiVersion":"fleet.flotilla.dev/v1alpha1","kind":"Credential","metadata":{"name":%q},"spec":{%s}}`, name, spec))
	}
	credential("wide", `"urlPrefix":"https://git.example.com","namespaces":["*"],"secretRef":{"namespace":"flux-system","name":"wide"},"proxySecretRef":{"namespace":"flux-system","name":"proxy"}`)
	credential("narrow", `"urlPrefix":"https://git.example.com/acme","namespaces":["apps"],"secretRef":{"namespace":"flux-system","name":"narrow"}`)
	credential("other", `"urlPrefix":"https://git.example.com/acme","namespaces":["others"],"secretRef":{"namespace":"flux-system","name":"other"}`)
	b.secret("apps", "own", "password", "own")
	password := func(name, field string) string { return string(m.upstream(name).Secrets[field]["password"]) }
	for _, test := range []struct {
		name, url, extra, secret, proxy string
	}{
		{"narrow", "https://git.example.com/acme/a", "", "narrow", "proxy"},
		{"wide", "https://git.example.com/acme-evil/a", "", "wide", "proxy"},
		{"elsewhere", "https://git.example.org/acme/a", "", "", ""},
		{"own", "https://git.example.com/acme/own", `,"secretRef":{"name":"own"}`, "own", "proxy"},
	} {
		b.source("GitRepository", "apps", test.name, fmt.Sprintf(`"interval":"10m","url":%q%s`, test.url, test.extra))
		b.eventuallyOf("GitRepository", "apps", test.name, good)
		if got := password("GitRepository "+test.url, "secretRef"); got != test.secret {
			t.Errorf("%s is fetched with %q, want %q", test.name, got, test.secret)
		}
		if got := password("GitRepository "+test.url, "proxySecretRef"); got != test.proxy {
			t.Errorf("%s goes by %q, want %q", test.name, got, test.proxy)
		}
	}
	// A Credential that changes, or goes, changes what is fetched with.
	credential("narrow", `"urlPrefix":"https://git.example.com/acme","namespaces":["apps"],"secretRef":{"namespace":"flux-system","name":"other"}`)
	eventually := func(want string) {
		t.Helper()
		lab.Eventually(t, time.Minute, "fetched with "+want, func() error {
			if got := password("GitRepository https://git.example.com/acme/a", "secretRef"); got != want {
				return fmt.Errorf("with %q", got)
			}
			return nil
		})
	}
	eventually("other")
	if _, err := b.DeleteObject(t.Context(), admin, resource.Deletion{Kind: "Credential", Name: "narrow"}); err != nil {
		t.Fatal(err)
	}
	eventually("wide")
	// Nor does its Secret have to be there, which is told without where it should be.
	credential("gone", `"urlPrefix":"https://git.example.com/acme","namespaces":["apps"],"secretRef":{"namespace":"flux-system","name":"gone"}`)
	state := b.eventuallyOf("GitRepository", "apps", "narrow", saying("AuthenticationFailed Credential/gone: spec.secretRef: its Secret is not given to the hub"))
	if strings.Contains(state.Message, "flux-system") {
		t.Errorf("a tenant is told %q", state.Message)
	}
}

func TestHubsOwnIdentityIsUsedOnlyWhereACredentialGrantsIt(t *testing.T) {
	t.Parallel()
	var m memory
	b := newBundleWith(t, inMemory(&m))
	bucket := func(namespace, name string) {
		b.source("Bucket", namespace, name, `"interval":"10m","provider":"aws","endpoint":"s3.amazonaws.com","bucketName":"`+name+`"`)
	}
	bucket("apps", "ours")
	nobodys := b.eventuallyOf("Bucket", "apps", "ours", good)
	if m.upstream("Bucket https://s3.amazonaws.com/ours").Identity {
		t.Error("the identity is to be used, and nobody granted it")
	}
	b.apply(`{"apiVersion":"fleet.flotilla.dev/v1alpha1","kind":"Credential","metadata":{"name":"aws"},"spec":{"urlPrefix":"https://s3.amazonaws.com/ours","namespaces":["apps"],"provider":"aws"}}`)
	lab.Eventually(t, time.Minute, "the identity is used", func() error {
		if !m.upstream("Bucket https://s3.amazonaws.com/ours").Identity {
			return errors.New("it is not")
		}
		return nil
	})
	bucket("apps", "theirs")
	b.eventuallyOf("Bucket", "apps", "theirs", good)
	if m.upstream("Bucket https://s3.amazonaws.com/theirs").Identity {
		t.Error("the identity is to be used for another bucket")
	}
	bucket("others", "ours")
	if theirs := b.eventuallyOf("Bucket", "others", "ours", good); theirs.Upstream != nobodys.Upstream {
		t.Error("the identity is to be used for another namespace")
	}
	b.secret("apps", "static", "accesskey", "any")
	b.source("Bucket", "apps", "static", `"interval":"10m","provider":"aws","endpoint":"s3.amazonaws.com","bucketName":"ours","secretRef":{"name":"static"},"region":"x"`)
	b.eventuallyOf("Bucket", "apps", "static", good)
	if u := m.upstream("Bucket https://s3.amazonaws.com/ours"); u.Identity || u.Secrets["secretRef"] == nil {
		t.Error("the identity is to be used beside a Secret")
	}
}

func TestImagePullSecretsOfAServiceAccountAreASourcesCredentials(t *testing.T) {
	t.Parallel()
	var m memory
	b := newBundleWith(t, inMemory(&m))
	b.source("OCIRepository", "apps", "app", `"interval":"10m","url":"oci://registry.example.com/app","serviceAccountName":"puller"`)
	b.eventuallyOf("OCIRepository", "apps", "app", saying("ServiceAccount/apps/puller is not given to the hub"))
	b.apply(`{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"puller","namespace":"apps"},"imagePullSecrets":[{"name":"first"},{"name":"second"}]}`)
	b.secret("apps", "first", ".dockerconfigjson", "1")
	b.eventuallyOf("OCIRepository", "apps", "app", saying("imagePullSecrets[1]: Secret/apps/second is not given to the hub"))
	b.secret("apps", "second", ".dockerconfigjson", "2")
	b.eventuallyOf("OCIRepository", "apps", "app", good)
	secrets := m.upstream("OCIRepository oci://registry.example.com/app").Secrets
	if string(secrets["serviceAccountName[0]"][".dockerconfigjson"]) != "1" || string(secrets["serviceAccountName[1]"][".dockerconfigjson"]) != "2" {
		t.Errorf("secrets of %v", slices.Collect(maps.Keys(secrets)))
	}
	o, err := b.Object(t.Context(), "ServiceAccount", "apps", "puller")
	if err != nil || len(o.ImagePullSecrets) != 2 || o.Spec != nil {
		t.Errorf("stored is %+v, error %v", o, err)
	}
}
