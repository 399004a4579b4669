package release_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"flotilla.dev/flotilla/hub/release"
	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/hub/source/bucket"
)

// credential declares a Credential.
func (b *bundle) credential(name, spec string) {
	b.t.Helper()
	b.apply(fmt.Sprintf(`{"apiVersion":"fleet.flotilla.dev/v1alpha1","kind":"Credential","metadata":{"name":%q},"spec":{%s}}`, name, spec))
}

// A Secret goes before the identity of a provider, whoever gives it; of a Secret that only says which identity is meant,
// that one is used.
func TestSecretGoesBeforeTheIdentityOfAProvider(t *testing.T) {
	t.Parallel()
	var m memory
	b := newBundleWith(t, inMemory(&m))
	for _, key := range []string{"accountKey", "clientId", "accesskey", "serviceaccount", "githubAppID", "password", "ca.crt"} {
		b.secret("flux-system", strings.ToLower(key), key, "lent")
		b.secret("apps", strings.ToLower(key), key, "own")
	}
	for i, test := range []struct {
		name, kind, spec, url string
		secret, provider      string // of the Credential
		key, value            string
		identity              bool
	}{
		{"a lent key of azure", "Bucket", `"provider":"azure","endpoint":"https://%s.blob.core.windows.net","bucketName":"app"`, "https://%s.blob.core.windows.net/app", "accountkey", "azure", "accountKey", "lent", false},
		{"a lent name of an identity", "Bucket", `"provider":"azure","endpoint":"https://%s.blob.core.windows.net","bucketName":"app"`, "https://%s.blob.core.windows.net/app", "clientid", "azure", "clientId", "lent", true},
		{"a name of an identity", "Bucket", `"provider":"azure","endpoint":"https://%s.blob.core.windows.net","bucketName":"app","secretRef":{"name":"clientid"}`, "https://%s.blob.core.windows.net/app", "", "azure", "clientId", "own", true},
		{"a name of an identity, not granted", "Bucket", `"provider":"azure","endpoint":"https://%s.blob.core.windows.net","bucketName":"app","secretRef":{"name":"clientid"}`, "https://%s.blob.core.windows.net/app", "", "", "clientId", "own", false},
		{"a lent account of gcp", "Bucket", `"provider":"gcp","endpoint":"%s.googleapis.com","bucketName":"app"`, "https://%s.googleapis.com/app", "serviceaccount", "gcp", "serviceaccount", "lent", false},
		{"lent keys of aws", "Bucket", `"provider":"aws","endpoint":"%s.amazonaws.com","bucketName":"app"`, "https://%s.amazonaws.com/app", "accesskey", "", "accesskey", "lent", false},
		{"a lent GitHub App", "GitRepository", `"provider":"github","url":"https://%s.example.com/app"`, "https://%s.example.com/app", "githubappid", "", "githubAppID", "lent", false},
		{"an identity at azure, and a CA that is lent", "GitRepository", `"provider":"azure","url":"https://%s.example.com/app"`, "https://%s.example.com/app", "", "azure", "ca.crt", "lent", true},
		{"an identity at azure beside a Secret", "GitRepository", `"provider":"azure","url":"https://%s.example.com/app","secretRef":{"name":"password"}`, "https://%s.example.com/app", "", "azure", "password", "own", false},
		{"an identity at AWS's own STS", "Bucket", `"provider":"aws","endpoint":"%s.amazonaws.com","bucketName":"app","sts":{"provider":"aws","endpoint":"https://sts.amazonaws.com"}`, "https://%s.amazonaws.com/app", "", "aws", "", "", true},
		{"a provider where there is no registry", "HelmRepository", `"provider":"aws","url":"https://%s.example.com"`, "https://%s.example.com", "password", "aws", "password", "lent", false},
		{"a lent password of a registry", "OCIRepository", `"provider":"aws","url":"oci://%s.example.com/app"`, "oci://%s.example.com/app", "password", "aws", "password", "lent", false},
	} {
		host := fmt.Sprintf("host%d", i)
		url := fmt.Sprintf(test.url, host)
		if test.secret != "" || test.provider != "" {
			spec := fmt.Sprintf(`"urlPrefix":%q,"namespaces":["apps"],"provider":%q`, url, test.provider)
			if test.secret != "" {
				spec += fmt.Sprintf(`,"secretRef":{"namespace":"flux-system","name":%q}`, test.secret)
			}
			if test.key == "ca.crt" {
				spec += `,"certSecretRef":{"namespace":"flux-system","name":"ca.crt"}`
			}
			b.credential(host, spec)
		}
		b.source(test.kind, "apps", host, `"interval":"10m",`+fmt.Sprintf(test.spec, host))
		b.eventuallyOf(test.kind, "apps", host, good)
		u := m.upstream(test.kind + " " + url)
		if got := string(u.Secrets["secretRef"][test.key]); got != test.value || u.Identity != test.identity {
			t.Errorf("%s: %q and identity %t, want %q and %t", test.name, got, u.Identity, test.value, test.identity)
		}
	}
}

func TestGitHubAppThatNobodyGivesIsAskedFor(t *testing.T) {
	t.Parallel()
	var m memory
	b := newBundleWith(t, inMemory(&m))
	b.source("GitRepository", "apps", "app", `"interval":"10m","provider":"github","url":"https://github.example.com/app"`)
	b.eventuallyOf("GitRepository", "apps", "app", saying("InvalidProviderConfiguration spec.secretRef: provider github needs a Secret with githubAppID"))
	b.secret("flux-system", "github", "githubAppID", "1")
	b.credential("github", `"urlPrefix":"https://github.example.com","namespaces":["apps"],"secretRef":{"namespace":"flux-system","name":"github"}`)
	b.eventuallyOf("GitRepository", "apps", "app", good)
}

func TestImagePullSecretsGoBeforeTheIdentityOfAProvider(t *testing.T) {
	t.Parallel()
	var m memory
	b := newBundleWith(t, inMemory(&m))
	b.secret("apps", "pull", ".dockerconfigjson", "1")
	b.credential("aws", `"urlPrefix":"oci://registry.example.com","namespaces":["apps"],"provider":"aws"`)
	b.apply(`{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"puller","namespace":"apps"}}`)
	b.source("OCIRepository", "apps", "app", `"interval":"10m","provider":"aws","url":"oci://registry.example.com/app","serviceAccountName":"puller"`)
	b.eventuallyOf("OCIRepository", "apps", "app", saying("ServiceAccount/apps/puller has no imagePullSecrets, and the hub has no identity of a ServiceAccount"))
	b.apply(`{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"puller","namespace":"apps"},"imagePullSecrets":[{"name":"pull"}]}`)
	b.eventuallyOf("OCIRepository", "apps", "app", good)
	if u := m.upstream("OCIRepository oci://registry.example.com/app"); u.Identity || string(u.Secrets["serviceAccountName[0]"][".dockerconfigjson"]) != "1" {
		t.Errorf("identity %t beside %d Secrets", u.Identity, len(u.Secrets))
	}
}

// An open bucket needs nobody's identity.
func TestOpenBucketOfAProviderIsReadWithoutAGrant(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Authorization") != "":
			w.WriteHeader(http.StatusForbidden)
		case r.URL.Query().Get("alt") == "media":
			w.Header().Set("X-Goog-Generation", "1")
			_, _ = io.WriteString(w, fmt.Sprintf(configMap, "a", "1"))
		default:
			w.Header().Set("Content-Type", "application/json")
			_, _ = fmt.Fprintf(w, `{"kind":"storage#objects","items":[{"name":"a.yaml","etag":"e","size":"%d","generation":"1"}]}`, len(fmt.Sprintf(configMap, "a", "1")))
		}
	}))
	t.Cleanup(server.Close)
	b := newBundleWith(t, func(c *release.Config) {
		buckets, err := bucket.New(bucket.Config{Store: c.Blobs, Network: source.NewNetwork(source.NetworkConfig{Metrics: source.NewMetrics(nil)})})
		if err != nil {
			t.Fatal(err)
		}
		c.Fetcher = source.Kinds{"Bucket": buckets}
	})
	b.source("Bucket", "apps", "app", fmt.Sprintf(`"interval":"10m","provider":"gcp","insecure":true,"endpoint":%q,"bucketName":"app"`, strings.TrimPrefix(server.URL, "http://")))
	b.eventuallyOf("Bucket", "apps", "app", good)
}
