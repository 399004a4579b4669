package deploy_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/getsops/sops/v3/keys"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/sops"
	"flotilla.dev/flotilla/spoke/decrypt"
	"flotilla.dev/flotilla/spoke/decrypt/decrypttest"
	"flotilla.dev/flotilla/spoke/deploy"
	"flotilla.dev/flotilla/test/lab"
)

// plaintext is what nothing but the cluster's objects may show.
const plaintext = "c4n4ry-plaintext"

// withDecryption has the App's objects decrypted with the keys of a Secret.
func (b *bundle) withDecryption(secret string) *bundle {
	b.release.Decryption = &fleet.Decryption{Provider: "sops", SecretRef: &fleet.LocalReference{Name: secret}}
	return b
}

// keys makes the Secret of keys.
func (b *bundle) keys(name string, data map[string]string) {
	b.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}, StringData: data}
	client := b.typed.CoreV1().Secrets(b.namespace)
	_, err := client.Create(b.Context(), secret, metav1.CreateOptions{})
	if err != nil {
		_, err = client.Update(b.Context(), secret, metav1.UpdateOptions{})
	}
	if err != nil {
		b.Fatal(err)
	}
}

// encrypted is a Secret of the test's namespace, encrypted as Flux' guide says.
func (b *bundle) encrypted(name, value string, key ...keys.MasterKey) string {
	b.Helper()
	e := decrypttest.For(key...)
	e.Rule = decrypttest.OfSecrets
	document, _ := e.Encrypt(b, sops.YAML, sops.YAML, fmt.Appendf(nil,
		"apiVersion: v1\nkind: Secret\nmetadata:\n  name: %s\n  namespace: %s\nstringData:\n  key: %s\n", name, b.namespace, value))
	return string(document)
}

func (b *bundle) secretIs(name, key, want string) {
	b.Helper()
	b.value(secrets, name, base64.StdEncoding.EncodeToString([]byte(want)), "data", key)
}

func TestDecryptionOfObjectsAndOfValuesWithAgeAndPGP(t *testing.T) {
	b := newBundle(t).withDecryption("sops").start()
	identity, age := decrypttest.AgeKey(t)
	entity, pgp := decrypttest.PGPKey(t)
	b.keys("sops", map[string]string{"id.agekey": identity, "sops.asc": string(decrypttest.Armored(t, true, entity))})
	e := decrypttest.For(age)
	e.Rule = decrypttest.OfSecrets
	config, _ := e.Encrypt(t, sops.JSON, sops.JSON, fmt.Appendf(nil,
		`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"config","namespace":%q},"data":{"key":"of the ConfigMap"}}`, b.namespace))
	env, _ := decrypttest.For(pgp).Encrypt(t, sops.Dotenv, sops.Dotenv, []byte("A=of the file\n"))
	values := fmt.Sprintf(`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"values","namespace":%q},"data":{"app.env":%q,"plain":"YQ=="}}`,
		b.namespace, base64.StdEncoding.EncodeToString(env))
	objects := []string{b.encrypted("age", "with age", age), b.encrypted("pgp", "with PGP", pgp), string(config), values}
	target := b.deploy(objects...)
	b.secretIs("age", "key", "with age")
	b.secretIs("pgp", "key", "with PGP")
	b.secretIs("values", "app.env", "A=of the file\n")
	b.secretIs("values", "plain", "a")
	b.value(configMaps, "config", "of the ConfigMap", "data", "key")
	if b.get(secrets, "age").Object["sops"] != nil {
		t.Error("the metadata of SOPS are in the cluster")
	}
	// The same again asks for the keys and writes nothing.
	done := b.requests(func() { b.deploy(objects...) })
	if writes := done.Where(func(r lab.Request) bool { return r.Verb != "get" && r.Verb != "list" && r.Verb != "watch" }); len(writes) > 0 {
		t.Errorf("a second pass wrote %v", writes)
	}
	// What others change is undone, also by one who knows the App only from before.
	for range 2 {
		b.patch(secrets, "age", "someone", `{"data":{"key":"YQ=="}}`)
		b.secretIs("age", "key", "with age")
		b.patch(configMaps, "config", "someone", `{"data":{"key":"a"}}`)
		b.value(configMaps, "config", "of the ConfigMap", "data", "key")
		b.start()
		if err := b.engine.Load(t.Context(), b.app, target.Manifest, target.Release, target.Binding); err != nil {
			t.Fatal(err)
		}
		if b.status().Applied != target.Release.Digest() {
			t.Error("after a restart what is applied is not known")
		}
	}
}

func TestDecryptionComesBeforeSubstitution(t *testing.T) {
	b := newBundle(t).withDecryption("sops").start()
	identity, age := decrypttest.AgeKey(t)
	b.keys("sops", map[string]string{"id.agekey": identity})
	b.release.PostBuild = &fleet.PostBuild{Substitute: map[string]string{"WORLD": "earth", "N": "7"}}
	b.deploy(b.encrypted("one", `"hello ${WORLD}"`, age))
	b.secretIs("one", "key", "hello earth")
}

func TestDecryptionKeysThatComeOrChangeWakeTheApp(t *testing.T) {
	b := newBundle(t).withDecryption("sops").start()
	identity, first := decrypttest.AgeKey(t)
	other, second := decrypttest.AgeKey(t)
	target := b.target(b.encrypted("one", "first", first), b.configMap("beside", "x"))
	err := b.try(target)
	if !errors.Is(err, deploy.ErrResolve) || !errors.Is(err, fleet.ErrNotFound) || !strings.Contains(err.Error(), "spec.decryption.secretRef: Secret/"+b.namespace+"/sops is not there") {
		t.Fatal(err)
	}
	if len(b.owned(configMaps, secrets)) > 0 {
		t.Error("something was applied")
	}
	b.otherGoesOn()
	wakes := func(more uint64) {
		t.Helper()
		b.eventually("wakes", func() error {
			if got := b.status().Wakes; got < more {
				return fmt.Errorf("%d, not %d", got, more)
			}
			return nil
		})
	}
	b.keys("sops", map[string]string{"id.agekey": other})
	wakes(1)
	err = b.try(target)
	if !errors.Is(err, decrypt.ErrNoKey) || !strings.Contains(err.Error(), "it is encrypted for age "+first.Recipient+"; Secret/"+b.namespace+"/sops has age "+second.Recipient) {
		t.Fatal(err)
	}
	b.otherGoesOn()
	before := b.status().Wakes
	b.keys("sops", map[string]string{"id.agekey": other + "\n" + identity})
	wakes(before + 1)
	if err := b.try(target); err != nil {
		t.Fatal(err)
	}
	b.secretIs("one", "key", "first")
}

func TestDecryptionThatFailsSaysWhyAndAppliesNothing(t *testing.T) {
	identity, age := decrypttest.AgeKey(t)
	b := newBundle(t).withDecryption("sops").start()
	b.keys("sops", map[string]string{"id.agekey": identity})
	whole := b.encrypted("one", plaintext, age)
	for name, test := range map[string]struct {
		object string
		is     error
		says   string
	}{
		"tampered":      {strings.Replace(whole, "key: ENC[AES256_GCM,data:", "key: ENC[AES256_GCM,data:AAAA", 1), decrypt.ErrDamaged, `/one: invalid: damaged, or changed after it was encrypted: "stringData.key"`},
		"key of values": {strings.Replace(whole, "-----BEGIN AGE ENCRYPTED FILE-----", "-----BEGIN AGE-----", 1), decrypt.ErrNoKey, "the data key for age " + age.Recipient + ": it is damaged"},
	} {
		if test.object == whole {
			t.Fatal(name)
		}
		err := b.try(b.target(test.object, b.configMap("beside", "x")))
		if !errors.Is(err, test.is) || !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), plaintext) {
			t.Errorf("%s: %v", name, err)
		}
		b.otherGoesOn()
	}
	if owned := b.owned(configMaps, secrets); len(owned) > 0 {
		t.Errorf("%v was applied", owned)
	}
	b.keys("sops", map[string]string{"id.agekey": identity[:40]})
	err := b.try(b.target(whole))
	if !errors.Is(err, decrypt.ErrBadKey) || !strings.Contains(err.Error(), "Secret/"+b.namespace+"/sops: key id.agekey") || strings.Contains(err.Error(), identity[20:40]) {
		t.Error(err)
	}
	b.otherGoesOn()
	b.release.Decryption.SecretRef = nil
	if err := b.try(b.target(whole)); !errors.Is(err, decrypt.ErrNoKey) || !strings.Contains(err.Error(), "spec.decryption, which names no secretRef, has no keys") {
		t.Error(err)
	}
}

// TestDecryptedContentIsInTheClustersObjectsOnly looks for it wherever else the engine writes, at the most talkative level
// of the log, in passes that go well and in such that the API server refuses.
func TestDecryptedContentIsInTheClustersObjectsOnly(t *testing.T) {
	b := newBundle(t).withDecryption("sops")
	var log bytes.Buffer
	var mu sync.Mutex
	b.logged = writer(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return log.Write(p)
	})
	b.start()
	identity, age := decrypttest.AgeKey(t)
	b.keys("sops", map[string]string{"id.agekey": identity})
	e := decrypttest.For(age)
	e.Rule = decrypttest.OfSecrets
	of := func(document string) string {
		encrypted, _ := e.Encrypt(t, sops.JSON, sops.JSON, []byte(document))
		return string(encrypted)
	}
	good := []string{
		b.encrypted("secret", plaintext, age),
		of(fmt.Sprintf(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"config","namespace":%q},"data":{"key":%q}}`, b.namespace, plaintext)),
	}
	b.deploy(good...)
	b.secretIs("secret", "key", plaintext)
	b.patch(configMaps, "config", "someone", `{"data":{"key":"a"}}`)
	b.value(configMaps, "config", plaintext, "data", "key")
	texts := map[string]string{"the inventory": b.entries(), "the status": fmt.Sprintf("%+v", b.status())}
	for name, bad := range map[string]string{
		"not a number":    fmt.Sprintf(`{"apiVersion":"v1","kind":"Service","metadata":{"name":"bad","namespace":%q},"data":{"a":%q}}`, b.namespace, plaintext),
		"not a map":       fmt.Sprintf(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"bad","namespace":%q},"data":{"key":{"deep":%q}}}`, b.namespace, plaintext),
		"not base64":      fmt.Sprintf(`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"bad","namespace":%q},"data":{"key":%q}}`, b.namespace, plaintext+"%"),
		"immutable field": fmt.Sprintf(`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"secret","namespace":%q},"type":"other","stringData":{"key":%q}}`, b.namespace, plaintext),
	} {
		err := b.try(b.target(of(bad)))
		if err == nil {
			t.Errorf("%s was applied", name)
			continue
		}
		texts["the error of "+name] = err.Error()
	}
	b.kill()
	mu.Lock()
	texts["the log"] = log.String()
	mu.Unlock()
	for _, event := range b.events {
		texts["the events"] += fmt.Sprintf("%+v", event)
	}
	err := filepath.WalkDir(b.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		texts[path] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	digest := fleet.DigestOf(fmt.Appendf(nil, `{"apiVersion":"v1","data":{"key":%q},"kind":"ConfigMap","metadata":{"name":"config","namespace":%q}}`, plaintext, b.namespace))
	for where, text := range texts {
		for _, form := range []string{plaintext, base64.StdEncoding.EncodeToString([]byte(plaintext)), hex.EncodeToString([]byte(plaintext)), identity, digest.String()} {
			if strings.Contains(text, form) {
				t.Errorf("%s: it holds %s:\n%s", where, form, text)
			}
		}
	}
	if !strings.Contains(texts["the log"], "applied") || !strings.Contains(texts["the inventory"], "config") {
		t.Error("the texts do not even name what was done")
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }
