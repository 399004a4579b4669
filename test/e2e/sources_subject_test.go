package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"flotilla.dev/flotilla/test/lab"
)

// subject is a Source on a real server of its own, with a Kustomization of its name, whose one ConfigMap has that name too.
type subject struct {
	a    *app
	ref  string // as fleetctl takes it, such as gitrepo/git
	kind string
	name string
	// change has upstream hold the ConfigMap with another value.
	change func(value string)
}

// newSubjects is an app without a repository, in a namespace that the members have.
func newSubjects(t testing.TB, fleet *lab.Fleet, members ...*lab.Member) *app {
	t.Helper()
	a := &app{t: t, fleet: fleet, namespace: fmt.Sprintf("sources-%d", apps.Add(1))}
	for _, m := range members {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: a.namespace}}
		if _, err := a.client(m).CoreV1().Namespaces().Create(t.Context(), namespace, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

// place puts the subject's ConfigMap on a cluster, by a Kustomization of its name.
func (s *subject) place(m *lab.Member) {
	s.a.t.Helper()
	s.a.apply(strings.NewReplacer("NAMESPACE", s.a.namespace, "KIND", s.kind, "NAME", s.name, "CLUSTER", m.Name()).Replace(placed))
}

const placed = `
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: NAME, namespace: NAMESPACE}
spec: {interval: 1h, retryInterval: 1h, timeout: 30s, path: ./deploy, prune: true, wait: true, sourceRef: {kind: KIND, name: NAME}}
---
apiVersion: fleet.flotilla.dev/v1alpha1
kind: Placement
metadata: {name: NAME, namespace: NAMESPACE}
spec:
  apps: [{kind: Kustomization, name: NAME}]
  clusters: {names: [CLUSTER]}
`

// files are what upstream holds.
func (s *subject) files(value string) map[string]string {
	return map[string]string{"deploy/app.yaml": s.a.configMap(s.name, value)}
}

// dir has those files in a directory.
func (s *subject) dir(value string) string {
	s.a.t.Helper()
	dir := s.a.t.TempDir()
	for path, content := range s.files(value) {
		s.a.file(filepath.Join(dir, path), content)
	}
	return dir
}

// file writes a file, and returns its path.
func (a *app) file(path, content string) string {
	a.t.Helper()
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.WriteFile(path, []byte(content), 0o600)
	}
	if err != nil {
		a.t.Fatal(err)
	}
	return path
}

// overSSH is a GitRepository that is reached with a deploy key.
func overSSH(a *app, git *lab.GitServer, server *lab.GitSSH) *subject {
	a.t.Helper()
	s := &subject{a: a, ref: "gitrepo/git", kind: "GitRepository", name: "git"}
	if _, err := git.NewRepo(a.namespace); err != nil {
		a.t.Fatal(err)
	}
	repo, err := git.Clone(a.t.Context(), a.namespace, a.t.TempDir())
	if err != nil {
		a.t.Fatal(err)
	}
	a.repo = repo
	s.change = func(value string) { s.a.t.Helper(); s.a.push(s.files(value)) }
	s.change("first")

	key := lab.TestSSHKey(a.t, "ed25519")
	server.Allow(key)
	private, err := key.Private("")
	if err != nil {
		a.t.Fatal(err)
	}
	identity := a.file(filepath.Join(a.t.TempDir(), "identity"), string(private))
	a.fleetctl("create", "secret", "git", "deploy-key", "--url", server.URL(a.namespace), "--private-key-file", identity)
	a.fleetctl("create", "source", "git", s.name, "--url", server.URL(a.namespace), "--branch", "main", "--secret-ref", "deploy-key", "--interval", "1h")
	return s
}

// user and password of what has them.
const user, password = "anna", "correct-horse-battery"

// ofRegistry is an OCIRepository with a password, on a registry that only the Secret's authority vouches for, of which
// nothing is taken that is not signed.
func ofRegistry(a *app, server *lab.Registry, authority *lab.Authority) *subject {
	a.t.Helper()
	s := &subject{a: a, ref: "ocirepo/oci", kind: "OCIRepository", name: "oci"}
	repository := a.namespace + "/app"
	url, key := "oci://"+server.Name(repository), lab.TestCosignKey(a.t)
	s.change = func(value string) {
		s.a.t.Helper()
		var pushed struct{ Digest string }
		out := s.a.fleetctl("push", "artifact", url+":latest", "--path", s.dir(value), "--source", "https://git.example/app",
			"--revision", "main@sha1:0123456789012345678901234567890123456789", "--creds", user+":"+password, "--insecure-registry", "-o", "json")
		err := json.Unmarshal([]byte(out), &pushed)
		if err == nil {
			err = server.SignCosign(repository, pushed.Digest, key)
		}
		if err != nil {
			s.a.t.Fatalf("%v: %s", err, out)
		}
	}
	s.change("first")

	public, err := key.Public()
	if err != nil {
		a.t.Fatal(err)
	}
	secret, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Secret", "metadata": map[string]string{"name": "cosign", "namespace": a.namespace},
		"stringData": map[string]string{"cosign.pub": string(public)},
	})
	if err != nil {
		a.t.Fatal(err)
	}
	a.apply(string(secret))
	ca := a.file(filepath.Join(a.t.TempDir(), "ca.crt"), string(authority.PEM()))
	a.fleetctl("create", "secret", "tls", "registry-ca", "--ca-crt-file", ca)
	a.fleetctl("create", "secret", "oci", "registry", "--url", server.Host(), "--username", user, "--password", password)
	a.fleetctl("create", "source", "oci", s.name, "--url", url, "--tag", "latest", "--secret-ref", "registry", "--cert-ref", "registry-ca",
		"--verify-provider", "cosign", "--verify-secret-ref", "cosign", "--interval", "1h")
	return s
}

// ofBucket is a Bucket that is read with keys.
func ofBucket(a *app, server *lab.S3) *subject {
	a.t.Helper()
	s := &subject{a: a, ref: "bucket/bucket", kind: "Bucket", name: "bucket"}
	if err := server.MakeBucket(a.namespace); err != nil {
		a.t.Fatal(err)
	}
	s.change = func(value string) {
		s.a.t.Helper()
		for path, content := range s.files(value) {
			if err := server.Put(s.a.namespace, path, content); err != nil {
				s.a.t.Fatal(err)
			}
		}
	}
	s.change("first")
	a.fleetctl("create", "source", "bucket", s.name, "--bucket-name", a.namespace, "--endpoint", server.Host(), "--insecure",
		"--access-key", lab.AccessKey, "--secret-key", lab.SecretKey, "--interval", "1h")
	return s
}

// pushed is an ExternalArtifact, which a pipeline makes by pushing to it.
func pushed(a *app) *subject {
	s := &subject{a: a, ref: "ea/pushed", kind: "ExternalArtifact", name: "pushed"}
	s.change = func(value string) {
		s.a.t.Helper()
		s.a.fleetctl("push", "artifact", s.ref, "--path", s.dir(value), "--revision", value)
	}
	s.change("first")
	return s
}

// charts are a HelmRepository with a password and a HelmChart of it, which follows every version from 1.0.0 on.
type charts struct {
	a      *app
	server *lab.HelmRepo
}

func newCharts(a *app) *charts {
	a.t.Helper()
	c := &charts{a: a, server: lab.TestHelmRepo(a.t, lab.HelmRepoConfig{Username: user, Password: password})}
	c.add("1.0.0")
	a.fleetctl("create", "source", "helm", "charts", "--url", c.server.URL(), "--username", user, "--password", password, "--interval", "1h")
	a.fleetctl("create", "source", "chart", "chart", "--source", "HelmRepository/charts", "--chart", "app", "--chart-version", ">=1.0.0", "--interval", "1h")
	return c
}

// add puts another version of the chart into the repository.
func (c *charts) add(version string) {
	c.a.t.Helper()
	packed, err := lab.SimpleChart("app", version, version)
	if err == nil {
		err = c.server.Add(packed)
	}
	if err != nil {
		c.a.t.Fatal(err)
	}
}
