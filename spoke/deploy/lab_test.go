package deploy_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/manifest"
	"flotilla.dev/flotilla/spoke/deploy"
	"flotilla.dev/flotilla/test/lab"
)

func TestMain(m *testing.M) { lab.Main(m) }

const (
	ownerName      = "kustomize.toolkit.fluxcd.io/name"
	ownerNamespace = "kustomize.toolkit.fluxcd.io/namespace"
	patienceOfTest = 2 * time.Minute
)

var (
	configMaps   = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	secrets      = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
	services     = schema.GroupVersionResource{Version: "v1", Resource: "services"}
	namespaces   = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
	deployments  = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	clusterRoles = schema.GroupVersionResource{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterroles"}
	crds         = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
)

// bundle is a test's own: a namespace for an App's objects and one for the spoke's, and an engine that can be
// restarted on them.
type bundle struct {
	*testing.T
	cluster   *lab.Cluster
	client    dynamic.Interface
	typed     kubernetes.Interface
	namespace string
	system    string
	dir       string
	app       fleet.Key
	release   fleet.Release
	binding   fleet.Binding
	logged    io.Writer // nil: nothing is logged
	agent     string    // the engine's user agent
	account   string    // deploy.Config.DefaultServiceAccount
	wrap      func(http.RoundTripper) http.RoundTripper

	engine *deploy.Engine
	stop   func()

	canaries int

	mu      sync.Mutex
	blobs   manifest.Blobs
	reads   int // of blobs
	events  []fleet.Event
	changes map[fleet.Key]int
	onHolds int // how often HoldChanged was called
}

func newBundle(t *testing.T) *bundle {
	t.Helper()
	t.Parallel()
	cluster := lab.TestCluster(t)
	config := cluster.REST()
	config.UserAgent = "test"
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	typed, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	b := &bundle{
		T: t, cluster: cluster, client: client, typed: typed,
		namespace: lab.TestNamespace(t, cluster), system: lab.TestNamespace(t, cluster), dir: t.TempDir(),
		blobs: manifest.Blobs{}, changes: map[fleet.Key]int{},
	}
	b.agent = "engine-" + b.namespace
	b.app = fleet.Key{Home: fleet.HubHome, Kind: "Kustomization", Namespace: b.namespace, Name: "app"}
	b.release = fleet.Release{App: b.app, Prune: true}
	t.Cleanup(func() { b.kill() })
	return b
}

// start runs an engine on the bundle, as after a restart of the spoke.
func (b *bundle) start() *bundle {
	b.Helper()
	b.kill()
	config := b.cluster.REST()
	config.UserAgent = b.agent
	if b.wrap != nil {
		config.Wrap(b.wrap)
	}
	b.run(config)
	return b
}

func (b *bundle) run(config *rest.Config) {
	b.Helper()
	var log *slog.Logger
	if b.logged != nil {
		log = slog.New(slog.NewTextHandler(b.logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	engine, err := deploy.New(deploy.Config{
		REST: config, Namespace: b.system, Dir: b.dir, Log: log, Build: buildHere, DefaultServiceAccount: b.account,
		Blob: func(digest fleet.Digest) ([]byte, error) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.reads++
			if blob, has := b.blobs[digest]; has {
				return blob, nil
			}
			return nil, fleet.ErrNotFound
		},
		Event: func(event fleet.Event) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.events = append(b.events, event)
		},
		Changed: func(key fleet.Key) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.changes[key]++
		},
		HoldChanged: func() {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.onHolds++
		},
	})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- engine.Run(ctx) }()
	b.engine = engine
	b.stop = func() {
		cancel()
		if err := <-done; err != nil {
			b.Errorf("run: %v", err)
		}
	}
}

// kill ends the engine.
func (b *bundle) kill() {
	if b.stop != nil {
		b.stop()
		b.stop = nil
	}
}

// target makes a Manifest of objects and the target to deploy it.
func (b *bundle) target(objects ...string) deploy.Target {
	b.Helper()
	documents := make([][]byte, len(objects))
	for i, object := range objects {
		documents[i] = []byte(object)
	}
	m, blobs, err := manifest.New(documents, manifest.OptionsOf(b.release.ReleaseSpec))
	if err != nil {
		b.Fatal(err)
	}
	b.mu.Lock()
	maps.Copy(b.blobs, blobs)
	b.mu.Unlock()
	release := b.release
	release.Manifest = m.Digest()
	return deploy.Target{App: b.app, Release: release, Manifest: m, Binding: b.binding}
}

func (b *bundle) try(target deploy.Target) error {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	return b.engine.Deploy(ctx, target)
}

func (b *bundle) deploy(objects ...string) deploy.Target {
	b.Helper()
	target := b.target(objects...)
	if err := b.try(target); err != nil {
		b.Fatal(err)
	}
	return target
}

func (b *bundle) status() deploy.Status { return b.engine.Status(b.app) }

// get returns an object of the test's namespace, or nil.
func (b *bundle) get(resource schema.GroupVersionResource, name string) *unstructured.Unstructured {
	b.Helper()
	return b.getIn(b.namespace, resource, name)
}

func (b *bundle) getIn(namespace string, resource schema.GroupVersionResource, name string) *unstructured.Unstructured {
	b.Helper()
	object, err := b.client.Resource(resource).Namespace(namespace).Get(b.Context(), name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		b.Fatal(err)
	}
	return object
}

// patch changes an object as kubectl would.
func (b *bundle) patch(resource schema.GroupVersionResource, name, manager, merge string) *unstructured.Unstructured {
	b.Helper()
	object, err := b.tryPatch(resource, name, manager, merge)
	if err != nil {
		b.Fatal(err)
	}
	return object
}

func (b *bundle) tryPatch(resource schema.GroupVersionResource, name, manager, merge string) (*unstructured.Unstructured, error) {
	return b.client.Resource(resource).Namespace(b.namespace).
		Patch(b.Context(), name, types.MergePatchType, []byte(merge), metav1.PatchOptions{FieldManager: manager})
}

// apply is a server-side apply.
func (b *bundle) apply(resource schema.GroupVersionResource, name, manager, object string, force bool) error {
	b.Helper()
	_, err := b.client.Resource(resource).Namespace(b.namespace).
		Patch(b.Context(), name, types.ApplyPatchType, []byte(object), metav1.PatchOptions{FieldManager: manager, Force: &force})
	return err
}

func (b *bundle) delete(resource schema.GroupVersionResource, name string) {
	b.Helper()
	if err := b.client.Resource(resource).Namespace(b.namespace).Delete(b.Context(), name, metav1.DeleteOptions{}); err != nil {
		b.Fatal(err)
	}
}

func (b *bundle) eventually(what string, f func() error) {
	b.Helper()
	lab.Eventually(b, patienceOfTest, what, f)
}

// value waits until a field of an object has a value; nil is a field, or an object, that is not there.
func (b *bundle) value(resource schema.GroupVersionResource, name string, want any, path ...string) {
	b.Helper()
	b.eventually(name+" "+strings.Join(path, "."), func() error {
		object := b.get(resource, name)
		if object == nil {
			return fmt.Errorf("%s is not there", name)
		}
		have, _, err := unstructured.NestedFieldNoCopy(object.Object, path...)
		if err == nil && fmt.Sprint(have) != fmt.Sprint(want) {
			err = fmt.Errorf("it is %v, not %v", have, want)
		}
		return err
	})
}

// owned returns what carries the App's owner labels, as Kind/name.
func (b *bundle) owned(resources ...schema.GroupVersionResource) map[string]bool {
	b.Helper()
	found := map[string]bool{}
	for _, resource := range resources {
		list, err := b.client.Resource(resource).List(b.Context(), metav1.ListOptions{
			LabelSelector: ownerName + "=" + b.app.Name + "," + ownerNamespace + "=" + b.app.Namespace,
		})
		if err != nil {
			b.Fatal(err)
		}
		for _, item := range list.Items {
			found[item.GetKind()+"/"+item.GetName()] = true
		}
	}
	return found
}

// requests counts what the engine asked of the API server while f ran, discovery, the spoke's own objects and what
// Flux manages aside.
func (b *bundle) requests(f func()) lab.Requests {
	b.Helper()
	during, before := lab.TestRequests(b, b.cluster, f)
	return during.Where(func(r lab.Request) bool {
		flux := r.Resource == "kustomizations" || r.Name == "kustomizations.kustomize.toolkit.fluxcd.io" // of another test
		// The first watch of a kind begins when it does, after the pass that needs it, and on a busy machine well after.
		begins := (r.Verb == "list" || r.Verb == "watch") && r.Namespace == "" && r.Name == "" && !b.watches(before, r.Resource)
		return r.UserAgent == b.agent && r.Resource != "" && r.Namespace != b.system && !flux && !begins && !strings.HasPrefix(r.Name, "canary")
	})
}

// watches reports whether the engine had begun to watch a kind by then.
func (b *bundle) watches(by lab.Requests, resource string) bool {
	return slices.ContainsFunc(by, func(r lab.Request) bool {
		return r.UserAgent == b.agent && r.Verb == "watch" && r.Resource == resource && r.Namespace == ""
	})
}

// ownRequests counts the requests about the spoke's own objects.
func (b *bundle) ownRequests(f func()) lab.Requests {
	b.Helper()
	during, _ := lab.TestRequests(b, b.cluster, f)
	return during.Where(func(r lab.Request) bool { return r.UserAgent == b.agent && r.Namespace == b.system })
}

// inventory is what the engine keeps of the App, and of the others but the canary.
func (b *bundle) inventory() []corev1.ConfigMap {
	b.Helper()
	list, err := b.typed.CoreV1().ConfigMaps(b.system).List(b.Context(), metav1.ListOptions{LabelSelector: "fleet.flotilla.dev/inventory"})
	if err != nil {
		b.Fatal(err)
	}
	return slices.DeleteFunc(list.Items, func(shard corev1.ConfigMap) bool {
		return strings.HasSuffix(shard.Annotations["fleet.flotilla.dev/app"], "/canary")
	})
}

// entries are the lines of the inventory.
func (b *bundle) entries() string {
	b.Helper()
	var all strings.Builder
	for _, shard := range b.inventory() {
		all.WriteString(shard.Data["objects"])
	}
	return all.String()
}

func (b *bundle) eventsOf(reason string) (found []fleet.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, event := range b.events {
		if event.Reason == reason {
			found = append(found, event)
		}
	}
	return found
}

func (b *bundle) configMap(name, value string, extra ...string) string {
	return fmt.Sprintf(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":%q,"namespace":%q%s},"data":{"key":%q}}`,
		name, b.namespace, strings.Join(extra, ""), value)
}

func annotations(pairs ...string) string {
	var parts []string
	for i := 0; i < len(pairs); i += 2 {
		parts = append(parts, fmt.Sprintf("%q:%q", pairs[i], pairs[i+1]))
	}
	return `,"annotations":{` + strings.Join(parts, ",") + `}`
}

type labRequest = lab.Request

func (b *bundle) unstructured(object string) *unstructured.Unstructured {
	b.Helper()
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON([]byte(object)); err != nil {
		b.Fatal(err)
	}
	return u
}
