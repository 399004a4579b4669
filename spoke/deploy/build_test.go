package deploy_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/build"
	"flotilla.dev/flotilla/pkg/build/buildtest"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/manifest"
	"flotilla.dev/flotilla/pkg/render"
	"flotilla.dev/flotilla/pkg/sops"
	"flotilla.dev/flotilla/spoke/decrypt"
	"flotilla.dev/flotilla/spoke/decrypt/decrypttest"
	"flotilla.dev/flotilla/spoke/deploy"
)

// buildHere is Config.Build without a process of its own.
func buildHere(ctx context.Context, job render.Job) (render.Result, error) {
	fsys := artifact.NewFS(job.Tree, func(digest fleet.Digest) ([]byte, error) { return job.Blob(ctx, digest) })
	objects, err := build.Build(ctx, fsys, job.Path, job.Spec)
	return render.Result{Objects: objects}, err
}

// treeOf is a source with files.
func treeOf(t testing.TB, files map[string]string) (*artifact.Tree, func(fleet.Digest) ([]byte, error)) {
	t.Helper()
	blobs := map[fleet.Digest][]byte{}
	var list []artifact.File
	for path, content := range files {
		digest := fleet.DigestOf([]byte(content))
		blobs[digest] = []byte(content)
		list = append(list, artifact.File{Path: path, Digest: digest, Size: int64(len(content))})
	}
	tree, err := artifact.NewTree(list)
	if err != nil {
		t.Fatal(err)
	}
	return tree, func(digest fleet.Digest) ([]byte, error) { return blobs[digest], nil }
}

// subtree is the target of files that the hub cannot build, as it makes one.
func (b *bundle) subtree(files map[string]string) deploy.Target {
	b.Helper()
	tree, blob := treeOf(b, files)
	looked := buildtest.NewRecorder(artifact.NewFS(tree, blob))
	_, err := build.Build(b.Context(), looked, "deploy", fleet.BuildSpec{})
	encrypted := (*build.EncryptedError)(nil)
	if !errors.As(err, &encrypted) {
		b.Fatal("nothing is encrypted:", err)
	}
	s := build.NewSubtree(tree, "deploy", fleet.BuildSpec{}, looked.Inputs(), encrypted)
	contents := map[string][]byte{}
	for _, file := range s.Files {
		contents[file.Path], _ = blob(file.Digest)
	}
	m, blobs, err := manifest.NewSubtree(s.Encode(), contents)
	if err == nil {
		m, err = manifest.Decode(m.Encode()) // as it comes from the hub
	}
	if err != nil {
		b.Fatal(err)
	}
	b.mu.Lock()
	maps.Copy(b.blobs, blobs)
	b.mu.Unlock()
	release := b.release
	release.Manifest = m.Digest()
	return deploy.Target{App: b.app, Release: release, Manifest: m}
}

// TestBuildOfEncryptedFilesIsMadeInTheCluster and comes out as kustomize builds the plain files: with the names that it
// gives to what it generates, which say what is in them.
func TestBuildOfEncryptedFilesIsMadeInTheCluster(t *testing.T) {
	b := newBundle(t).withDecryption("sops").start()
	identity, age := decrypttest.AgeKey(t)
	b.keys("sops", map[string]string{"id.agekey": identity})
	b.release.PostBuild = &fleet.PostBuild{Substitute: map[string]string{"WORLD": "earth"}}
	ofData := decrypttest.For(age)
	ofData.Rule = decrypttest.OfSecrets
	plain := map[string]string{
		"deploy/kustomization.yaml": "namespace: " + b.namespace + "\nresources: [config.yaml, ../base]\npatches: [{path: patch.yaml}]\n" +
			"secretGenerator: [{name: env, envs: [app.env]}, {name: file, files: [conf.yaml, tls.key]}]\n",
		"deploy/config.yaml":      "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: config}\ndata: {key: first, other: \"hello ${WORLD}\"}\n",
		"base/kustomization.yaml": "configMapGenerator: [{name: empty, files: [nothing]}]\n",
		"base/nothing":            "",
		"unrelated/file":          "not needed",
	}
	sealed := maps.Clone(plain)
	for path, file := range map[string]struct {
		e      decrypttest.Encryptor
		format sops.Format
		text   string
	}{
		"deploy/app.env":    {decrypttest.For(age), sops.Dotenv, "PASSWORD=" + plaintext + "\n"},
		"deploy/conf.yaml":  {decrypttest.For(age), sops.YAML, "# note\na:\n    b: " + plaintext + "\n"},
		"deploy/tls.key":    {decrypttest.For(age), sops.Binary, "-----KEY-----\n"},
		"deploy/patch.yaml": {ofData, sops.YAML, "apiVersion: v1\nkind: ConfigMap\nmetadata:\n    name: config\ndata:\n    key: " + plaintext + "\n"},
	} {
		encrypted, decrypted := file.e.Encrypt(t, file.format, file.format, []byte(file.text))
		sealed[path], plain[path] = string(encrypted), string(decrypted)
	}
	tree, blob := treeOf(t, plain)
	documents, err := build.Build(t.Context(), artifact.NewFS(tree, blob), "deploy", fleet.BuildSpec{})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{}
	names := map[string]string{}
	for _, document := range documents {
		var object struct {
			Kind     string
			Metadata struct{ Name string }
		}
		if err := yaml.Unmarshal(document, &object); err != nil {
			t.Fatal(err)
		}
		want[object.Kind+"/"+object.Metadata.Name] = true
		before, _, _ := strings.Cut(object.Metadata.Name, "-")
		names[before] = object.Metadata.Name
	}
	target := b.subtree(sealed)
	if err := b.try(target); err != nil {
		t.Fatal(err)
	}
	if got := b.owned(configMaps, secrets); !maps.Equal(got, want) {
		t.Errorf("%v; want %v", got, want)
	}
	if got := b.status().Objects; got != len(want) {
		t.Errorf("it says %d objects, of %d", got, len(want))
	}
	holds := func() {
		t.Helper()
		b.secretIs(names["env"], "PASSWORD", plaintext)
		b.secretIs(names["file"], "conf.yaml", plain["deploy/conf.yaml"])
		b.secretIs(names["file"], "tls.key", "-----KEY-----\n")
		b.value(configMaps, "config", plaintext, "data", "key")
		b.value(configMaps, "config", "hello earth", "data", "other")
	}
	holds()
	for range 2 {
		b.patch(secrets, names["env"], "someone", `{"data":{"PASSWORD":"YQ=="}}`)
		b.patch(configMaps, "config", "someone", `{"data":{"key":"a"}}`)
		holds()
		// What must be kept for that is what came from the hub.
		kept := b.engine.AppliedBlobs(b.app)
		for _, entry := range target.Manifest.Entries {
			if !slices.Contains(kept, entry.Digest) {
				t.Errorf("%s is not kept", entry.Ref)
			}
		}
		b.start()
		if err := b.engine.Load(t.Context(), b.app, target.Manifest, target.Release, target.Binding); err != nil {
			t.Fatal(err)
		}
		if b.status().Applied != target.Release.Digest() {
			t.Error("after a restart what is applied is not known")
		}
	}
	for _, form := range []string{plaintext, base64.StdEncoding.EncodeToString([]byte(plaintext))} {
		if strings.Contains(b.entries(), form) {
			t.Error("the inventory holds what was decrypted")
		}
	}
	// Nor the digests by which it could be tried out.
	guesses, _, err := manifest.New(documents, manifest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, guess := range guesses.Entries {
		if strings.Contains(b.entries(), guess.Digest.String()) {
			t.Errorf("the inventory tells the content of %s", guess.Ref)
		}
	}
	// With another key it stays as it is, and says which file it is.
	b.keys("sops", map[string]string{"id.agekey": newIdentity(t)})
	err = b.try(target)
	if !errors.Is(err, decrypt.ErrNoKey) || !errors.Is(err, deploy.ErrResolve) || !strings.Contains(err.Error(), "deploy/app.env: ") || !strings.Contains(err.Error(), "age "+age.Recipient) {
		t.Error(err)
	}
	if got := b.owned(configMaps, secrets); !maps.Equal(got, want) {
		t.Errorf("%v; want %v", got, want)
	}
}

// TestBuildThatFailsOnADecryptedFileDoesNotShowIt: what kustomize says of it could.
func TestBuildThatFailsOnADecryptedFileDoesNotShowIt(t *testing.T) {
	b := newBundle(t).withDecryption("sops").start()
	identity, age := decrypttest.AgeKey(t)
	b.keys("sops", map[string]string{"id.agekey": identity})
	encrypted, _ := decrypttest.For(age).Encrypt(t, sops.YAML, sops.YAML, fmt.Appendf(nil, "kind: %s\n%s: 1\n", plaintext, plaintext+"2"))
	err := b.try(b.subtree(map[string]string{
		"deploy/kustomization.yaml": "resources: [config.yaml]\npatches: [{path: patch.yaml}]\n",
		"deploy/config.yaml":        b.configMap("config", "x"),
		"deploy/patch.yaml":         string(encrypted),
	}))
	if !errors.Is(err, fleet.ErrInvalid) || !strings.Contains(fmt.Sprint(err), "the build of the decrypted files fails") || strings.Contains(fmt.Sprint(err), plaintext) {
		t.Error(err)
	}
}

func newIdentity(t testing.TB) string {
	identity, _ := decrypttest.AgeKey(t)
	return identity
}

// TestDiffOfEncryptedBuildInputsReadsTheContentThatComesWithIt: the cache may lack a release that no pass has seen.
func TestDiffOfEncryptedBuildInputsReadsTheContentThatComesWithIt(t *testing.T) {
	b := newBundle(t).withDecryption("sops").start()
	identity, age := decrypttest.AgeKey(t)
	b.keys("sops", map[string]string{"id.agekey": identity})
	sealed, _ := decrypttest.For(age).Encrypt(t, sops.Dotenv, sops.Dotenv, []byte("PASSWORD="+plaintext+"\n"))
	target := b.subtree(map[string]string{
		"deploy/kustomization.yaml": "namespace: " + b.namespace + "\nsecretGenerator: [{name: env, envs: [app.env]}]\n",
		"deploy/app.env":            string(sealed),
	})
	b.mu.Lock()
	content := b.blobs
	b.blobs = manifest.Blobs{}
	b.mu.Unlock()
	answer, err := b.engine.Diff(t.Context(), deploy.Comparison{Target: target, Blob: func(digest fleet.Digest) ([]byte, error) { return content[digest], nil }})
	if err != nil {
		t.Fatal(err)
	}
	if len(answer.Objects) != 1 || answer.Objects[0].Change != fleet.ChangeCreate || strings.Contains(answer.Objects[0].Diff, plaintext) {
		t.Errorf("got %+v", answer)
	}
	if b.reads != 0 {
		t.Errorf("the cache was asked %d times", b.reads)
	}
}
