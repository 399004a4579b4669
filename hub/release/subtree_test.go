package release_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/pkg/build"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/manifest"
)

// TestBuildWithEncryptedFilesTravelsAsItsFiles: exactly those that it looks at, as they are, where the App says how they
// are decrypted; else the files are named.
func TestBuildWithEncryptedFilesTravelsAsItsFiles(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	const env = "PASSWORD=ENC[AES256_GCM,data:x]\nsops_mac=ENC[x]\n"
	files := map[string]string{
		"deploy/kustomization.yaml": "resources: [a.yaml]\nsecretGenerator: [{name: s, envs: [app.env]}]\n",
		"deploy/a.yaml":             fmt.Sprintf(configMap, "a", "1"),
		"deploy/app.env":            env,
		"deploy/README.md":          "not a part of it",
		"other/b.yaml":              fmt.Sprintf(configMap, "b", "1"),
	}
	first := b.push(files)
	b.applyGit("app", "")
	b.applyApp("plain", "deploy")
	b.eventually("plain", failing("deploy/app.env: encrypted with SOPS; set spec.decryption"))
	b.apply(`{"apiVersion":"kustomize.toolkit.fluxcd.io/v1","kind":"Kustomization","metadata":{"name":"app","namespace":"apps"},"spec":{"interval":"10m","prune":true,"path":"deploy",
		"namePrefix":"p-","decryption":{"provider":"sops","secretRef":{"name":"sops"}},"sourceRef":{"kind":"GitRepository","name":"app"}}}`)
	state := b.eventually("app", at(first))
	m, subtree := b.subtree(state.Release)
	var paths []string
	for _, file := range subtree.Files {
		paths = append(paths, file.Path)
		if file.Digest != fleet.DigestOf([]byte(files[file.Path])) || file.Size != int64(len(files[file.Path])) {
			t.Errorf("%s is not the file of the source", file.Path)
		}
		if !slices.ContainsFunc(m.Entries, func(entry manifest.Entry) bool { return entry.Part && entry.Digest == file.Digest }) {
			t.Errorf("%s does not travel", file.Path)
		}
	}
	if want := []string{"deploy/a.yaml", "deploy/app.env", "deploy/kustomization.yaml"}; !slices.Equal(paths, want) {
		t.Errorf("files %v; want %v", paths, want)
	}
	if len(subtree.Encrypted) != 1 || subtree.Encrypted[0] != (build.Encrypted{Path: "deploy/app.env", Format: "dotenv"}) || subtree.Path != "deploy" || subtree.Spec.NamePrefix != "p-" {
		t.Errorf("%+v", subtree)
	}
	// What the build does not look at makes no other Release.
	second := b.push(map[string]string{"deploy/README.md": "still not", "other/b.yaml": fmt.Sprintf(configMap, "b", "2")})
	b.reconcile("app")
	if again := b.eventually("app", at(second)); again.Release != state.Release {
		t.Error("a commit that touches none of its files makes another Release")
	}
	third := b.push(map[string]string{"deploy/app.env": env + "\n"})
	b.reconcile("app")
	if again := b.eventually("app", at(third)); again.Release == state.Release {
		t.Error("a commit that touches an encrypted file makes no other Release")
	}
}

// subtree reads the Manifest of a Release whose build is made in the clusters.
func (b *bundle) subtree(release fleet.Digest) (*manifest.Manifest, build.Subtree) {
	b.t.Helper()
	m := b.manifest(release)
	instructions, err := b.Blobs().Get(b.t.Context(), m.Build())
	if err != nil {
		b.t.Fatal(err)
	}
	subtree, err := build.DecodeSubtree(instructions)
	if err != nil {
		b.t.Fatal(err)
	}
	return m, subtree
}

// manifest is that of a release.
func (b *bundle) manifest(release fleet.Digest) *manifest.Manifest {
	b.t.Helper()
	conn, err := pgx.Connect(b.t.Context(), b.url)
	if err != nil {
		b.t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(b.t.Context()))
	var name []byte
	if err := conn.QueryRow(b.t.Context(), `SELECT manifest FROM release WHERE digest = $1`, release.Bytes()).Scan(&name); err != nil {
		b.t.Fatal(err)
	}
	encoded, err := b.Blobs().Get(b.t.Context(), fleet.Digest(name))
	if err != nil {
		b.t.Fatal(err)
	}
	m, err := manifest.Decode(encoded)
	if err != nil {
		b.t.Fatal(err)
	}
	return m
}
