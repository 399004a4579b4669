package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	sopsage "github.com/getsops/sops/v3/age"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"flotilla.dev/flotilla/pkg/sops"
	"flotilla.dev/flotilla/spoke/decrypt/decrypttest"
	"flotilla.dev/flotilla/test/lab"
)

// sealedApp is an App whose build needs what only its clusters can decrypt: the file of a secretGenerator and a patch.
// Beside it is an App, "parts", of a directory with nothing to build, that has all from a component.
type sealedApp struct {
	*app
	m   *lab.Member
	age *sopsage.MasterKey
}

// A build of encrypted files is made in the cluster that has the key. It comes back from drift after a restart, with the
// hub and without; what is decrypted is nowhere to be read but in the objects themselves.
func TestBuildOfEncryptedFilesIsMadeInTheClusterAndIsNowhereElseToBeRead(t *testing.T) {
	t.Parallel()
	fleet := startFleetWith(t, lab.FleetConfig{Clusters: []lab.FleetCluster{cluster("prod-1")}, HubArgs: []string{"--log-level", "debug"}, SpokeArgs: []string{"--log-level", "debug"}})
	a := &sealedApp{app: newApp(t, fleet), m: fleet.Members[0]}
	a.settle() // the Namespace is there
	identity, age := decrypttest.AgeKey(t)
	a.age = age
	a.keys(a.m, identity)
	const first, second = "Never-To-Be-Read-0815", "Rotated-And-Not-To-Be-Read-4711"

	const needs = "encrypted with SOPS; set spec.decryption"
	a.push(a.files(first))
	a.lookNow()
	a.says("ks/app", "Ready", needs)
	a.apply(strings.ReplaceAll(a.declared, "prune: true,", "prune: true, "+sealedDecryption) + "---\n" + strings.ReplaceAll(sealedParts, "NAMESPACE", a.namespace))
	a.settle()
	a.says("ks/parts@"+a.m.Name(), "Ready", "True")
	for _, ref := range []string{"ks/app", "ks/parts"} {
		if got := a.get(ref).condition("Ready"); strings.Contains(got, needs) {
			t.Errorf("%s, which has it, says %s", ref, got)
		}
	}
	made := a.has(first)

	t.Run("what drifted while the spoke was killed", func(t *testing.T) {
		a := a.in(t)
		a.m.Spoke.Kill()
		a.drift(made)
		a.again(a.m.Spoke)
		a.has(first)
	})
	t.Run("and without the hub", func(t *testing.T) {
		a := a.in(t)
		fleet.Hub.Kill()
		a.m.Spoke.Kill()
		a.drift(made)
		a.again(a.m.Spoke)
		a.has(first)
		a.again(fleet.Hub)
	})
	t.Run("a rotated file", func(t *testing.T) {
		a := a.in(t)
		a.push(a.files(second))
		a.settle()
		if a.has(second) == made {
			t.Error("the Secret has the name of another content")
		}
		a.gone(made)
	})
	texts := map[string]string{}
	keep := func(more map[string]string) { // under other names: each time counts
		for where, text := range more {
			texts[fmt.Sprint(len(texts), " ", where)] = text
		}
	}
	t.Run("a diff", func(t *testing.T) {
		a := a.in(t)
		dir := t.TempDir()
		for path, content := range map[string]string{
			"kustomization.yaml": "resources: [namespace.yaml, app.yaml]\nsecretGenerator: [{name: made, namespace: " + a.namespace + ", literals: [password=local]}]\n",
			"namespace.yaml":     a.namespaceFile(),
			"app.yaml":           a.configMap("app", "local"),
		} {
			if err := os.WriteFile(filepath.Join(dir, path), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for code, args := range [][]string{{"diff", "ks/app"}, {"diff", "ks/app", "--path", dir}} {
			stdout, stderr := a.exits(code, args...)
			keep(map[string]string{strings.Join(args, " "): stdout + stderr})
			if code == 1 {
				says(t, "the diff", stdout, "ConfigMap/"+a.namespace+"/app changed", "Secret/"+a.namespace+"/"+a.generated()+" deleted", "*** (before)")
			}
		}
		stdout, stderr := a.exits(1, "diff", "ks/app", "--path", dir, "-o", "json")
		keep(map[string]string{"diff -o json": stdout + stderr})
	})
	t.Run("another key", func(t *testing.T) {
		a := a.in(t)
		other, _ := decrypttest.AgeKey(t)
		a.keys(a.m, other)
		a.says("ks/app@"+a.m.Name(), "Ready", "deploy/password: ")
		keep(a.texts([]string{"describe", "ks/app"}, []string{"get", "ks/app@" + a.m.Name(), "-o", "yaml"}))
		a.keys(a.m, identity)
		a.says("ks/app@"+a.m.Name(), "Ready", "True")
		a.has(second)
	})
	keep(a.texts([]string{"describe", "ks/app"}, []string{"get", "ks/app@" + a.m.Name(), "-o", "yaml"}, []string{"get", "ks/parts", "-o", "yaml"}, []string{"tree", "ks/app@" + a.m.Name(), "-o", "json"},
		[]string{"history", "ks/app@" + a.m.Name(), "-o", "json"}, []string{"trace", "secret/" + a.generated(), "--cluster", a.m.Name(), "-o", "json"}))
	keep(a.clusterTexts())
	keep(a.diskTexts())
	canaries := []string{strings.TrimSpace(identity)}
	for _, password := range []string{first, second} {
		digest := sha256.Sum256([]byte(password)) // a digest can be tried out
		canaries = append(canaries, password, hex.EncodeToString(digest[:]), string(digest[:]))
	}
	a.hides(texts, canaries...)
}

const sealedDecryption = "decryption: {provider: sops, secretRef: {name: sops}},"

const sealedParts = `
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: parts, namespace: NAMESPACE}
spec: {interval: 1h, retryInterval: 1h, timeout: 30s, path: ./parts, prune: true, wait: true, targetNamespace: NAMESPACE, components: [../part], ` + sealedDecryption + ` sourceRef: {kind: GitRepository, name: app}}
---
apiVersion: fleet.flotilla.dev/v1alpha1
kind: Placement
metadata: {name: parts, namespace: NAMESPACE}
spec:
  apps: [{kind: Kustomization, name: parts}]
  clusters: {selector: {matchExpressions: [{key: tier, operator: Exists}]}}
`

func (a *sealedApp) in(t testing.TB) *sealedApp { return &sealedApp{a.app.in(t), a.m, a.age} }

// files are the repository's with a password, encrypted where it stands.
func (a *sealedApp) files(password string) map[string]string {
	a.t.Helper()
	binary, _ := decrypttest.For(a.age).Encrypt(a.t, sops.Binary, sops.Binary, []byte(password))
	dotenv, _ := decrypttest.For(a.age).Encrypt(a.t, sops.Dotenv, sops.Dotenv, []byte("PASSWORD="+password+"\n"))
	ofData := decrypttest.For(a.age)
	ofData.Rule = decrypttest.OfSecrets
	patch, _ := ofData.Encrypt(a.t, sops.YAML, sops.YAML, []byte(a.configMap("app", password)))
	files := map[string]string{
		"deploy/kustomization.yaml": "resources: [namespace.yaml, app.yaml]\npatches: [{path: patch.yaml}]\nsecretGenerator: [{name: made, namespace: " + a.namespace + ", files: [password]}]\n",
		"deploy/password":           string(binary),
		"deploy/patch.yaml":         string(patch),
		"parts/readme":              "nothing to build",
		"part/kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n" +
			"secretGenerator: [{name: part, envs: [part.env], options: {disableNameSuffixHash: true}}]\n",
		"part/part.env": string(dotenv),
	}
	for path, content := range files {
		if strings.Contains(content, password) {
			a.t.Fatalf("%s is not encrypted", path)
		}
	}
	return files
}

// has waits until the cluster's objects have the password, and returns the name of the generated Secret.
func (a *sealedApp) has(password string) (made string) {
	a.t.Helper()
	a.data(a.m, "app", map[string]string{"value": password})
	a.holds(a.m, "part", "PASSWORD", password)
	made = a.generated()
	a.holds(a.m, made, "password", password)
	return made
}

// generated is the name of the newest Secret that the generator made.
func (a *sealedApp) generated() string {
	a.t.Helper()
	secrets, err := a.client(a.m).CoreV1().Secrets(a.namespace).List(a.t.Context(), metav1.ListOptions{})
	if err != nil {
		a.t.Fatal(err)
	}
	name, newest := "", metav1.Time{}
	for _, secret := range secrets.Items {
		if strings.HasPrefix(secret.Name, "made-") && secret.DeletionTimestamp == nil && !secret.CreationTimestamp.Before(&newest) {
			name, newest = secret.Name, secret.CreationTimestamp
		}
	}
	if name == "" {
		a.t.Fatal("no Secret is generated")
	}
	return name
}

// gone waits until a Secret is not there.
func (a *sealedApp) gone(name string) {
	a.t.Helper()
	lab.Eventually(a.t, patience, "Secret "+name+" is gone", func() error {
		secrets, err := a.client(a.m).CoreV1().Secrets(a.namespace).List(a.t.Context(), metav1.ListOptions{FieldSelector: "metadata.name=" + name})
		if err == nil && len(secrets.Items) > 0 {
			err = errors.New("it is there")
		}
		return err
	})
}

// drift has someone change what the App has in the cluster.
func (a *sealedApp) drift(secret string) {
	a.t.Helper()
	a.patch(a.m, "app", "kubectl-edit", `{"data":{"value":"edited"}}`)
	for name, key := range map[string]string{"part": "PASSWORD", secret: "password"} {
		body := fmt.Appendf(nil, `{"data":{%q:"eA=="}}`, key)
		if _, err := a.client(a.m).CoreV1().Secrets(a.namespace).Patch(a.t.Context(), name, types.MergePatchType, body, metav1.PatchOptions{FieldManager: "kubectl-edit"}); err != nil {
			a.t.Fatal(err)
		}
	}
}

func (a *sealedApp) again(p interface{ Start(context.Context) error }) {
	a.t.Helper()
	if err := p.Start(a.t.Context()); err != nil {
		a.t.Fatal(err)
	}
}

// clusterTexts are the cluster's ConfigMaps, but for the App's own, and its Events.
func (a *sealedApp) clusterTexts() map[string]string {
	a.t.Helper()
	texts := map[string]string{}
	configMaps, err := a.client(a.m).CoreV1().ConfigMaps("").List(a.t.Context(), metav1.ListOptions{})
	if err != nil {
		a.t.Fatal(err)
	}
	for _, c := range configMaps.Items {
		if c.Namespace != a.namespace {
			texts["ConfigMap "+c.Namespace+"/"+c.Name] = fmt.Sprint(c)
		}
	}
	if !slices.ContainsFunc(slices.Collect(maps.Values(texts)), func(text string) bool { return strings.Contains(text, a.namespace) }) {
		a.t.Error("no ConfigMap even names the app")
	}
	events, err := a.client(a.m).CoreV1().Events("").List(a.t.Context(), metav1.ListOptions{})
	if err != nil {
		a.t.Fatal(err)
	}
	texts["the cluster's events"] = fmt.Sprint(events.Items)
	return texts
}

// diskTexts are the files that the hub and the spokes keep.
func (a *sealedApp) diskTexts() map[string]string {
	a.t.Helper()
	texts := map[string]string{}
	for _, dir := range []string{"hub", "spokes"} {
		err := filepath.WalkDir(filepath.Join(a.fleet.Dir(), dir), func(path string, entry fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) || err == nil && !entry.Type().IsRegular() {
				return nil
			}
			content, err := os.ReadFile(path)
			if err == nil {
				texts[path] = string(content)
			}
			return nil // what is being written comes and goes
		})
		if err != nil {
			a.t.Fatal(err)
		}
	}
	if !slices.ContainsFunc(slices.Collect(maps.Values(texts)), func(text string) bool { return strings.Contains(text, "part.env") }) {
		a.t.Error("no file of a cache even names what is encrypted")
	}
	return texts
}
