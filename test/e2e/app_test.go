package e2e

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"flotilla.dev/flotilla/test/lab"
)

// patience is how long anything may take on a busy machine. Nothing waits for it when all is well.
const patience = 3 * time.Minute

// app is a test's own: a repository with a path, and a GitRepository, a Kustomization and a Placement, all named app, in
// a namespace that no other test has. Its objects are in the same namespace of each cluster.
type app struct {
	t         testing.TB
	fleet     *lab.Fleet
	namespace string
	url       string
	repo      *lab.Repo
	// declared are its objects at the hub.
	declared string
}

var apps atomic.Int64

// newApp makes the repository with its first commit, a Namespace and a ConfigMap "app", and declares the app for every
// cluster that has the label tier. The changes are pairs of a text in what is declared and what takes its place.
func newApp(t testing.TB, fleet *lab.Fleet, changes ...string) *app {
	t.Helper()
	return newAppFrom(t, fleet, fleet.Git, changes...)
}

// newAppFrom is newApp with a repository on another Git server.
func newAppFrom(t testing.TB, fleet *lab.Fleet, git *lab.GitServer, changes ...string) *app {
	t.Helper()
	a := &app{t: t, fleet: fleet, namespace: fmt.Sprintf("app-%d", apps.Add(1))}
	var err error
	if a.url, err = git.NewRepo(a.namespace); err != nil {
		t.Fatal(err)
	}
	if a.repo, err = git.Clone(t.Context(), a.namespace, t.TempDir()); err != nil {
		t.Fatal(err)
	}
	a.push(map[string]string{"deploy/namespace.yaml": a.namespaceFile(), "deploy/app.yaml": a.configMap("app", "first")})
	for i := 0; i < len(changes); i += 2 {
		if !strings.Contains(declared, changes[i]) {
			t.Fatalf("what is declared has no %q", changes[i])
		}
	}
	a.declared = strings.NewReplacer(append([]string{"NAMESPACE", a.namespace, "URL", a.url}, changes...)...).Replace(declared)
	a.apply(a.declared)
	return a
}

// in is the app in a subtest.
func (a *app) in(t testing.TB) *app {
	inner := *a
	inner.t = t
	return &inner
}

// apply gives the hub declared objects.
func (a *app) apply(objects string, args ...string) {
	a.t.Helper()
	out := a.fleet.FleetctlWith(a.t.Context(), objects, append([]string{"apply", "-f", "-", "--namespace", a.namespace}, args...)...)
	if err := out.Err(); err != nil {
		a.t.Fatal(err)
	}
}

// The intervals are long, so that a test sees what was asked for and not what would have come anyway.
const declared = `
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: app, namespace: NAMESPACE}
spec: {interval: 1h, url: URL, ref: {branch: main}}
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: app, namespace: NAMESPACE}
spec: {interval: 1h, retryInterval: 1h, timeout: 30s, path: ./deploy, prune: true, wait: true, sourceRef: {kind: GitRepository, name: app}}
---
apiVersion: fleet.flotilla.dev/v1alpha1
kind: Placement
metadata: {name: app, namespace: NAMESPACE}
spec:
  apps: [{kind: Kustomization, name: app}]
  clusters: {selector: {matchExpressions: [{key: tier, operator: Exists}]}}
`

// configMap is a ConfigMap of the app's namespace, as a file.
func (a *app) configMap(name, value string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: %s\n  namespace: %s\ndata:\n  value: %q\n", name, a.namespace, value)
}

func (a *app) namespaceFile() string {
	return "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: " + a.namespace + "\n"
}

// push commits files, by path, and returns the commit's hash.
func (a *app) push(files map[string]string) (commit string) {
	a.t.Helper()
	for path, content := range files {
		if err := a.repo.Write(path, content); err != nil {
			a.t.Fatal(err)
		}
	}
	commit, err := a.repo.Commit(a.t.Context(), "Change the app")
	if err == nil {
		err = a.repo.Push(a.t.Context())
	}
	if err != nil {
		a.t.Fatal(err)
	}
	return commit
}

// fleetctl runs fleetctl in the app's namespace and returns its stdout. Any exit code but 0 fails the test.
func (a *app) fleetctl(args ...string) (stdout string) {
	a.t.Helper()
	out := a.fleet.Fleetctl(a.t.Context(), append(args, "--namespace", a.namespace)...)
	if err := out.Err(); err != nil {
		a.t.Fatal(err)
	}
	return out.Stdout
}

// remove commits that files are gone.
func (a *app) remove(paths ...string) (commit string) {
	a.t.Helper()
	for _, path := range paths {
		if err := a.repo.Remove(path); err != nil {
			a.t.Fatal(err)
		}
	}
	return a.push(nil)
}

// value is what a ConfigMap of the app says in a cluster.
func (a *app) value(m *lab.Member, name string) (string, error) {
	client, err := kubernetes.NewForConfig(m.REST())
	if err != nil {
		return "", err
	}
	found, err := client.CoreV1().ConfigMaps(a.namespace).Get(a.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("cluster %s: %w", m.Name(), err)
	}
	return found.Data["value"], nil
}

// refused runs fleetctl in the app's namespace, which is to end with that exit code and to say that on stderr.
func (a *app) refused(code int, words string, args ...string) {
	a.t.Helper()
	a.refusedWith("", code, words, args...)
}

// refusedWith is refused with something on stdin.
func (a *app) refusedWith(stdin string, code int, words string, args ...string) {
	a.t.Helper()
	out := a.fleet.FleetctlWith(a.t.Context(), stdin, append(args, "--namespace", a.namespace)...)
	if out.Code != code || !strings.Contains(out.Stderr, words) {
		a.t.Errorf("fleetctl %s: exit code %d, want %d, saying\n%s\nwant it to say\n%s", strings.Join(args, " "), out.Code, code, out.Stderr, words)
	}
}
