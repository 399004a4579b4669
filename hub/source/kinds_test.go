package source_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/hub/source/bucket"
	"flotilla.dev/flotilla/hub/source/git"
	"flotilla.dev/flotilla/hub/source/helm"
	"flotilla.dev/flotilla/hub/source/oci"
	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/test/lab"
)

// kind is one kind of source on a real server.
type kind struct {
	name  string
	start func(t *testing.T, p protection) *subject
	// http: the server speaks it, so that it can redirect, answer with a status and have TLS.
	http bool
	// questions that it takes to learn that nothing has changed; 0: one.
	questions int
	// header: the header of an answer tells what upstream points to, so that the body need not come.
	header bool
	// proxy: the kind has spec.proxySecretRef.
	proxy bool
	// verify: the kind has spec.verify.
	verify bool
	// elsewhere: what is fetched may be at another host, which is followed without a credential, as registries and Helm repositories have it.
	elsewhere bool
	// signed: a request's signature is of the path that was asked for, so that no server redirects.
	signed bool
	// of is the kind that everything comes from, where that is another one; empty: itself.
	of string
}

var kinds = []kind{
	{name: "GitRepository over HTTP", start: startGit, http: true, proxy: true, verify: true},
	{name: "GitRepository over SSH", start: startGitSSH, proxy: true, verify: true},
	{name: "OCIRepository", start: startOCI, http: true, header: true, proxy: true, elsewhere: true, verify: true},
	{name: "OCIRepository with tokens", start: startOCITokens, http: true, proxy: true, elsewhere: true, verify: true},
	{name: "Bucket", start: startBucket, http: true, proxy: true, signed: true},
	{name: "HelmRepository", start: startHelmRepository, http: true, elsewhere: true},
	{name: "HelmChart over HTTP", start: startHelmChart, http: true, elsewhere: true, verify: true},
	{name: "HelmChart of a registry", start: startHelmChartOCI, http: true, elsewhere: true, verify: true, questions: 2}, // the tags, and one of them
	{name: "HelmChart of a Bucket", start: startHelmChartOfBucket, http: true, signed: true, of: "Bucket"},
}

// files hold a text. They come in another order each time that they are ranged over.
func files(text string) map[string]string {
	return map[string]string{"app.yaml": text, "a/b.yaml": text + " 1", "a-b.yaml": text + " 2", "Z.yaml": text + " 3"}
}

// protection is what stands before an upstream.
type protection struct {
	// password, key or whatever the kind has.
	password bool
	// authority of TLS; nil: plain.
	authority *lab.Authority
	// clients need a certificate of the authority.
	clients bool
}

func (p protection) site() lab.SiteConfig {
	return lab.SiteConfig{Authority: p.authority, ClientCertificates: p.clients}
}

// tls are the keys of a Secret that TLS needs.
func (p protection) tls(t *testing.T) map[string][]byte {
	t.Helper()
	if p.authority == nil {
		return nil
	}
	keys := map[string][]byte{"ca.crt": p.authority.PEM()}
	if p.clients {
		certificate, key, err := p.authority.Issue("hub")
		if err != nil {
			t.Fatal(err)
		}
		keys["tls.crt"], keys["tls.key"] = certificate, key
	}
	return keys
}

// subject is an upstream that was started.
type subject struct {
	server server
	// upstream as it is declared, with the right Secrets.
	upstream source.Upstream
	// change has upstream hold that content, and nothing else.
	change func(content string)
	// asked counts questions of any sort, fetched those for content.
	asked, fetched func() int
	// anonymous is without a credential, wrong with one that is not right.
	anonymous, wrong func(source.Upstream) source.Upstream
	// unfit is with a Secret that cannot be one of a credential, and holds wrongPassword.
	unfit func(source.Upstream) source.Upstream
}

// server is what all of the lab's have.
type server interface {
	Set(lab.Fault)
	Clear()
	Struck() int
	Host() string
	Up() error
	Down()
}

// What must be in no error.
const (
	rightPassword = "correct-horse-battery"
	wrongPassword = "canary-of-a-password"
)

// secrets of an upstream are put under the path of a field; empty ones are none.
func with(u source.Upstream, field string, keys ...map[string][]byte) source.Upstream {
	secrets := maps.Clone(u.Secrets)
	if secrets == nil {
		secrets = source.Secrets{}
	}
	all := map[string][]byte{}
	for _, some := range keys {
		maps.Copy(all, some)
	}
	secrets[field] = all
	if len(all) == 0 {
		delete(secrets, field)
	}
	u.Secrets = secrets
	// Another credential is another conversation.
	u.ID, u.Remote = identity(u), identity(u)
	return u
}

func identity(u source.Upstream) string { return fmt.Sprintf("%s %s %v", u.Kind, u.URL, u.Secrets) }

// within is the upstream, and those that it is made of, with another timeout.
func within(u source.Upstream, timeout time.Duration) source.Upstream {
	u.Timeout = timeout
	u.Inputs = slices.Clone(u.Inputs)
	for i := range u.Inputs {
		u.Inputs[i].Upstream = within(u.Inputs[i].Upstream, timeout)
	}
	return u
}

// replica is a hub's fetchers, with a store and a directory of its own.
type replica struct {
	registry *prometheus.Registry
	kinds    source.Kinds
	store    *artifact.Memory

	mu     sync.Mutex
	inputs map[string]source.Input // by ID, as last fetched
}

// Resolve asks for what the upstream is made of first, and fetches that.
func (r *replica) Resolve(ctx context.Context, u source.Upstream) (source.Found, error) {
	u, err := r.made(ctx, u)
	if err != nil {
		return source.Found{}, err
	}
	return r.kinds.Resolve(ctx, u)
}

// Fetch brings what was found, of what the store has of the inputs.
func (r *replica) Fetch(ctx context.Context, u source.Upstream, found source.Found) (*source.Artifact, error) {
	r.mu.Lock()
	u.Inputs = slices.Clone(u.Inputs)
	for i, input := range u.Inputs {
		if made, known := r.inputs[input.ID]; known {
			made.Upstream = input.Upstream
			u.Inputs[i] = made
		}
	}
	r.mu.Unlock()
	return r.kinds.Fetch(ctx, u, found)
}

// made is the upstream with its inputs as they are now.
func (r *replica) made(ctx context.Context, u source.Upstream) (source.Upstream, error) {
	u.Inputs = slices.Clone(u.Inputs)
	for i, input := range u.Inputs {
		if source.Static(input.Spec) {
			continue // says where charts are, and has nothing of its own
		}
		found, err := r.kinds.Resolve(ctx, input.Upstream)
		if err != nil {
			return u, err
		}
		fetched, err := r.kinds.Fetch(ctx, input.Upstream, found)
		if err != nil {
			return u, err
		}
		nodes := fetched.Tree.Nodes()
		input.Revision, input.Tree, input.TreeBlob = found.Revision, fetched.Tree.Digest(), nodes[len(nodes)-1].Digest
		if err := r.store.PutNodes(ctx, nodes); err != nil {
			return u, err
		}
		r.mu.Lock()
		r.inputs[input.ID], u.Inputs[i] = input, input
		r.mu.Unlock()
	}
	return u, nil
}

func newReplica(t *testing.T, addresses source.Addresses) *replica {
	t.Helper()
	r := &replica{store: &artifact.Memory{}, inputs: map[string]source.Input{}}
	r.registry = prometheus.NewRegistry()
	metrics := source.NewMetrics(r.registry)
	network := source.NewNetwork(source.NetworkConfig{Addresses: addresses, Metrics: metrics})
	dir, log := t.TempDir(), slog.New(slog.DiscardHandler)

	repositories, err := git.New(git.Config{Dir: filepath.Join(dir, "git"), Store: r.store, Network: network, Metrics: metrics, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(repositories.Close)
	registries, err := oci.New(oci.Config{Network: network, Dir: filepath.Join(dir, "oci"), Store: r.store, Metrics: metrics, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	buckets, err := bucket.New(bucket.Config{Store: r.store, Network: network, Metrics: metrics, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	helms, err := helm.New(helm.Config{Dir: filepath.Join(dir, "helm"), Store: r.store, Network: network, Registry: registries, Metrics: metrics})
	if err != nil {
		t.Fatal(err)
	}
	r.kinds = source.Kinds{
		"GitRepository": repositories, "OCIRepository": registries, "Bucket": buckets,
		"HelmRepository": helms.Repositories(), "HelmChart": helms.Charts(),
	}
	for name, kind := range r.kinds {
		r.kinds[name] = source.Measured(kind, metrics)
	}
	return r
}

// try is the error of resolving and fetching.
func (r *replica) try(ctx context.Context, u source.Upstream) error {
	found, err := r.Resolve(ctx, u)
	if err == nil {
		_, err = r.Fetch(ctx, u, found)
	}
	return err
}

// fetch returns what was found and fetched.
func (r *replica) fetch(t *testing.T, u source.Upstream) (source.Found, *source.Artifact) {
	t.Helper()
	found, err := r.Resolve(t.Context(), u)
	if err != nil {
		t.Fatalf("resolve: %v", err)
	}
	fetched, err := r.Fetch(t.Context(), u, found)
	if err != nil {
		t.Fatalf("fetch: %v", err)
	}
	return found, fetched
}

// received are the bytes by kind that the metrics show.
func (r *replica) received(t *testing.T) map[string]float64 {
	t.Helper()
	families, err := r.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	bytes := map[string]float64{}
	for _, family := range families {
		if family.GetName() == "flotilla_source_received_bytes_total" {
			for _, metric := range family.GetMetric() {
				bytes[metric.GetLabel()[0].GetValue()] = metric.GetCounter().GetValue()
			}
		}
	}
	return bytes
}

// holds is true of an artifact with a file that has the text in it, packed or not.
func (r *replica) holds(t *testing.T, a *source.Artifact, text string) bool {
	t.Helper()
	for _, file := range a.Tree.Files {
		data, err := r.store.Get(t.Context(), file.Digest)
		if err != nil {
			t.Fatalf("%s: %v", file.Path, err)
		}
		if zip, err := gzip.NewReader(bytes.NewReader(data)); err == nil {
			if data, err = io.ReadAll(zip); err != nil {
				t.Fatalf("%s: %v", file.Path, err)
			}
		}
		if strings.Contains(string(data), text) {
			return true
		}
	}
	return false
}
