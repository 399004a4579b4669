package e2e

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"flotilla.dev/flotilla/test/lab"
)

// A password that the hub was given is used, and is nowhere to be read: not while it is right, and not when it is
// refused.
func TestPasswordIsNowhereToBeRead(t *testing.T) {
	t.Parallel()
	fleet := lab.TestFleet(t)
	a := newApp(t, fleet)
	a.settle()
	right, wrong := rand.Text(), rand.Text()
	if err := fleet.Git.Protect(a.namespace, "user", right); err != nil {
		t.Fatal(err)
	}
	a.secret(right)
	a.apply(strings.ReplaceAll(a.declared, "ref: {branch: main}", "ref: {branch: main}, secretRef: {name: git}"))
	a.settle()
	a.says("gitrepo/app", "Ready", "True")
	a.secret(wrong)
	a.lookNow()
	a.says("gitrepo/app", "Ready", "False AuthenticationFailed")

	texts := a.texts([]string{"get", "secret/git", "-o", "yaml"}, []string{"describe", "secret/git"}, []string{"get", "gitrepo/app", "-o", "yaml"},
		[]string{"describe", "gitrepo/app"}, []string{"describe", "ks/app"})
	a.hides(texts, right, wrong, "user:"+right, "user:"+wrong)
}

// What was encrypted with SOPS is plain in the cluster that has the key, and nowhere else: neither while all is well, nor
// when the key is another.
func TestDecryptedSecretIsNowhereToBeReadButInItsCluster(t *testing.T) {
	t.Parallel()
	fleet := lab.TestFleet(t)
	a := newApp(t, fleet)
	a.settle() // the namespace is there
	const password = "Never-To-Be-Read-0815"
	read := func(name string) string {
		content, err := os.ReadFile(filepath.Join("testdata", "sops", name)) // made by SOPS 3.13.3 and age-keygen
		if err != nil {
			t.Fatal(err)
		}
		return string(content)
	}
	identity := read("id.agekey")
	for _, m := range fleet.Members {
		a.keys(m, identity)
	}
	a.push(map[string]string{"deploy/sealed.yaml": strings.ReplaceAll(read("secret.yaml"), "NAMESPACE", a.namespace)})
	a.apply(strings.ReplaceAll(a.declared, "prune: true,", "prune: true, decryption: {provider: sops, secretRef: {name: sops}},"))
	a.settle()
	m := fleet.Members[0]
	for _, m := range fleet.Members {
		a.holds(m, "sealed", "password", password)
	}
	if _, err := a.client(m).CoreV1().Secrets(a.namespace).Patch(t.Context(), "sealed", types.MergePatchType, []byte(`{"data":{"password":"eA=="}}`), metav1.PatchOptions{FieldManager: "kubectl-edit"}); err != nil {
		t.Fatal(err)
	}
	a.holds(m, "sealed", "password", password)
	a.keys(m, "AGE-SECRET-KEY-1"+strings.Repeat("Q", 58))
	a.says("ks/app@"+m.Name(), "Ready", "spec.decryption.secretRef: Secret/"+a.namespace+"/sops: key id.agekey: invalid: unusable key: line 1")
	a.keys(m, identity)
	a.says("ks/app@"+m.Name(), "Ready", "True")

	texts := a.texts([]string{"get", "ks/app@" + m.Name(), "-o", "yaml"}, []string{"describe", "ks/app@" + m.Name()}, []string{"describe", "ks/app"})
	for _, m := range fleet.Members {
		shards, err := a.client(m).CoreV1().ConfigMaps("").List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, shard := range shards.Items {
			texts["ConfigMap "+m.Name()+" "+shard.Namespace+"/"+shard.Name] = fmt.Sprint(shard)
		}
	}
	for _, dir := range []string{"hub", "spokes"} {
		err := filepath.WalkDir(filepath.Join(fleet.Dir(), dir), func(path string, entry fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) || err == nil && !entry.Type().IsRegular() {
				return nil
			}
			content, err := os.ReadFile(path)
			if err == nil {
				texts[path] = string(content)
			}
			return nil // the database's own files come and go
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	a.hides(texts, password, strings.TrimSpace(identity))
}

// keys is the Secret of decryption keys in a cluster.
func (a *app) keys(m *lab.Member, identity string) {
	a.t.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "sops"}, StringData: map[string]string{"id.agekey": identity}}
	client := a.client(m).CoreV1().Secrets(a.namespace)
	_, err := client.Create(a.t.Context(), secret, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		_, err = client.Update(a.t.Context(), secret, metav1.UpdateOptions{})
	}
	if err != nil {
		a.t.Fatal(err)
	}
}

// holds waits until a Secret in a cluster has a value.
func (a *app) holds(m *lab.Member, name, key, want string) {
	a.t.Helper()
	lab.Eventually(a.t, patience, "Secret "+name+" in "+m.Name(), func() error {
		secret, err := a.client(m).CoreV1().Secrets(a.namespace).Get(a.t.Context(), name, metav1.GetOptions{})
		if err == nil && string(secret.Data[key]) != want {
			err = errors.New("it has another value")
		}
		return err
	})
}

// texts are what people, and those who look after the hub, can read of the app: what fleetctl says, logs, the database.
func (a *app) texts(commands ...[]string) map[string]string {
	a.t.Helper()
	texts := map[string]string{}
	for _, args := range append(commands, []string{"events", "-o", "json"}, []string{"status"}) {
		texts["fleetctl "+strings.Join(args, " ")] = a.fleetctl(args...)
	}
	logs, err := filepath.Glob(filepath.Join(a.fleet.Dir(), "log", "*"))
	if err != nil || len(logs) <= len(a.fleet.Members) {
		a.t.Fatalf("logs %v, error %v", logs, err)
	}
	for _, file := range logs {
		content, err := os.ReadFile(file)
		if err != nil {
			a.t.Fatal(err)
		}
		texts[filepath.Base(file)] = string(content)
	}
	if texts["the database"], err = a.fleet.Postgres.DumpDatabase(a.t.Context(), "flotilla"); err != nil {
		a.t.Fatal(err)
	}
	if !strings.Contains(texts["the database"], a.namespace) {
		a.t.Error("the dump of the database does not even name the app")
	}
	return texts
}

// hides fails the test where a text holds a secret, whatever its form.
func (a *app) hides(texts map[string]string, secrets ...string) {
	a.t.Helper()
	for _, secret := range secrets {
		for _, form := range []string{secret, hex.EncodeToString([]byte(secret)), base64.StdEncoding.EncodeToString([]byte(secret))} {
			for where, text := range texts {
				if strings.Contains(text, form) {
					a.t.Errorf("%s holds a secret, as %s", where, form)
				}
			}
		}
	}
}
