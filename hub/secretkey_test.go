package hub

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"flotilla.dev/flotilla/hub/store"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/identity"
	"flotilla.dev/flotilla/pkg/resource"
	"flotilla.dev/flotilla/test/lab"
)

// The key is made beside an empty database only, is the same from then on, and never another one's.
func TestTheKeyCanBeAKubernetesSecret(t *testing.T) {
	t.Parallel()
	cluster := lab.TestCluster(t)
	namespace := lab.TestNamespace(t, cluster)
	client, err := kubernetes.NewForConfig(cluster.REST())
	if err != nil {
		t.Fatal(err)
	}
	secrets := client.CoreV1().Secrets(namespace)
	url := lab.TestDatabase(t)
	var log bytes.Buffer
	config := Config{KeySecret: namespace + "/hub-key", Kubeconfig: cluster.Kubeconfig(), DataDir: t.TempDir(), Log: slog.New(slog.NewTextHandler(&log, nil))}

	var group sync.WaitGroup
	made := make([]identity.Root, 3)
	for i := range made { // several replicas start at once
		group.Go(func() {
			quiet := config
			quiet.Log = slog.New(slog.DiscardHandler)
			root, err := loadKey(t.Context(), quiet, url)
			if err != nil {
				t.Error(err)
				return
			}
			made[i] = root
		})
	}
	group.Wait()
	if t.Failed() {
		t.FailNow()
	}
	for _, root := range made[1:] {
		if root.Fingerprint() != made[0].Fingerprint() {
			t.Error("replicas have different keys")
		}
	}
	secret, err := secrets.Get(t.Context(), "hub-key", metav1.GetOptions{})
	if err != nil || len(secret.Data["key"]) != 32 || secret.Type != corev1.SecretTypeOpaque {
		t.Fatalf("Secret %+v, %v", secret.Type, err)
	}

	s, err := store.Open(t.Context(), store.Config{URL: url, Sealer: made[0], KeyFingerprint: made[0].Fingerprint(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	if root, err := loadKey(t.Context(), config, url); err != nil || root.Fingerprint() != made[0].Fingerprint() {
		t.Errorf("beside the database that it made: %v", err)
	}
	// Without the Secret no other key is made beside that database; with another one the database is refused.
	if err := secrets.Delete(t.Context(), "hub-key", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := loadKey(t.Context(), config, url); !errors.Is(err, fleet.ErrNotFound) || !strings.Contains(fmt.Sprint(err), "the database holds a hub: bring its key back (--key-secret)") {
		t.Errorf("without the Secret: %v", err)
	}
	put := func(data map[string][]byte) {
		t.Helper()
		_ = secrets.Delete(t.Context(), "hub-key", metav1.DeleteOptions{}) // it may not be there
		if _, err := secrets.Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "hub-key"}, Data: data}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	put(map[string][]byte{"key": identity.NewKey()})
	other, err := loadKey(t.Context(), config, url)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(t.Context(), store.Config{URL: url, Sealer: other, KeyFingerprint: other.Fingerprint(), Log: slog.New(slog.DiscardHandler)}); !errors.Is(err, fleet.ErrConflict) {
		t.Errorf("another key beside the database: %v", err)
	}
	put(map[string][]byte{"other": identity.NewKey()})
	if _, err := loadKey(t.Context(), config, url); !errors.Is(err, fleet.ErrInvalid) || !strings.Contains(fmt.Sprint(err), "the Secret has no key key") {
		t.Errorf("a Secret of other keys: %v", err)
	}
	put(map[string][]byte{"key": []byte("canary")})
	if _, err := loadKey(t.Context(), config, url); !errors.Is(err, fleet.ErrInvalid) || strings.Contains(fmt.Sprint(err), "canary") {
		t.Errorf("a Secret that holds no key: %v", err)
	}
	if strings.Contains(log.String(), string(secret.Data["key"])) {
		t.Error("the log shows the key")
	}
}

func TestAKeyThatCannotBeReachedIsSaidSo(t *testing.T) {
	t.Parallel()
	cluster := lab.TestCluster(t)
	url := lab.TestDatabase(t)
	dir := t.TempDir()
	kubeconfig, err := os.ReadFile(cluster.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	server := cluster.REST().Host
	away := filepath.Join(dir, "away")
	nobody := filepath.Join(dir, "nobody")
	anonymous := `{"apiVersion":"v1","kind":"Config","current-context":"x","contexts":[{"name":"x","context":{"cluster":"x","user":"x"}}],` +
		`"clusters":[{"name":"x","cluster":{"server":"` + server + `","insecure-skip-tls-verify":true}}],"users":[{"name":"x","user":{}}]}`
	for name, text := range map[string]string{away: strings.ReplaceAll(string(kubeconfig), server, "https://127.0.0.1:1"), nobody: anonymous} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, test := range map[string]struct {
		kubeconfig, secret string
		want               error
		text               string
	}{
		"no API server": {away, "default/hub-key", fleet.ErrUnavailable, "the API server does not answer"},
		"no right":      {nobody, "default/hub-key", fleet.ErrDenied, "the hub's account has not the right to get that Secret"},
		"no kubeconfig": {filepath.Join(dir, "none"), "default/hub-key", fleet.ErrInvalid, "give --kubeconfig"},
		"no namespace":  {cluster.Kubeconfig(), "nowhere/hub-key", fleet.ErrInvalid, "the namespace is not there"},
	} {
		config := Config{KeySecret: test.secret, Kubeconfig: test.kubeconfig, DataDir: dir, Log: slog.New(slog.DiscardHandler)}
		if _, err := loadKey(t.Context(), config, url); !errors.Is(err, test.want) || !strings.Contains(fmt.Sprint(err), test.text) {
			t.Errorf("%s: %v, want %q", name, err, test.text)
		}
	}
}

// A sealed Secret that is moved to the row of another, by whoever has the database but not the key, opens nowhere.
func TestASealedSecretOpensInItsOwnRowAlone(t *testing.T) {
	t.Parallel()
	url := lab.TestDatabase(t)
	root, err := identity.RootOf(identity.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), store.Config{URL: url, Sealer: root, KeyFingerprint: root.Fingerprint(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, secret := range []string{`"name":"git","namespace":"apps"`, `"name":"git","namespace":"other"`, `"name":"deploy","namespace":"apps"`} {
		applySecret(t, s, secret)
	}
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }() // only this test's
	const move = `UPDATE object o SET sealed = f.sealed FROM object f WHERE f.namespace = 'apps' AND f.name = 'git' AND (o.namespace, o.name) <> (f.namespace, f.name)`
	if _, err := conn.Exec(t.Context(), move); err != nil {
		t.Fatal(err)
	}
	if _, err := s.SecretData(t.Context(), "apps", "git"); err != nil {
		t.Errorf("in its own row: %v", err)
	}
	for _, row := range [][2]string{{"other", "git"}, {"apps", "deploy"}} {
		if data, err := s.SecretData(t.Context(), row[0], row[1]); !errors.Is(err, fleet.ErrInvalid) {
			t.Errorf("in the row of %s/%s: %d keys, %v", row[0], row[1], len(data), err)
		}
	}
}

func applySecret(t *testing.T, s *store.Store, metadata string) {
	t.Helper()
	object, err := resource.Decode([]byte(`{"apiVersion":"v1","kind":"Secret","metadata":{` + metadata + `},"stringData":{"password":"hunter2"}}`))
	if err == nil {
		_, _, _, err = s.ApplyObject(t.Context(), fleet.Caller{Principal: "user:admin"}, object, fleet.Order{})
	}
	if err != nil {
		t.Fatal(err)
	}
}
