package main

import (
	"strings"
	"testing"
)

// tree is a work tree with an overlay that builds a ConfigMap and a Secret.
func (b *bundle) tree() (overlay string) {
	b.write("tree/.git/HEAD", "")
	b.write("tree/base/kustomization.yaml", "resources: [app.yaml, secret.yaml]\n")
	b.write("tree/base/app.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: app\ndata:\n  a: ${VARIABLE}\n")
	b.write("tree/base/secret.yaml", "apiVersion: v1\nkind: Secret\nmetadata:\n  name: s\nstringData:\n  password: canary\ndata:\n  other: Y2FuYXJ5\n")
	return strings.TrimSuffix(b.write("tree/overlays/prod/kustomization.yaml", "resources: [../../base]\nnamePrefix: prod-\n"), "/kustomization.yaml")
}

func TestBuildShowsWhatTheHubWouldBuildWithSecretsMasked(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	dir := b.tree()
	file := b.write("ks.yaml", gitApp+"---\n"+strings.Replace(ksApp, "path: ./deploy,", "path: ./deploy, namePrefix: x-, targetNamespace: apps,", 1))
	r := b.ok("build", "ks", "app", "--path", dir)
	wantTexts(t, "stdout", r.stdout, "name: prod-app\n", "name: prod-s\n", "password: '***'", "other: '***'", "a: ${VARIABLE}")
	if strings.Contains(r.stdout, "canary") || strings.Contains(r.stdout, "Y2FuYXJ5") {
		t.Errorf("a Secret's values are shown:\n%s", r.stdout)
	}
	wantTexts(t, "with what a file declares", b.ok("build", "ks", "app", "--path", dir, "--kustomization-file", file, "--show-secrets").stdout,
		"name: x-app\n", "namespace: apps\n", "password: canary", "other: Y2FuYXJ5")
}

func TestBuildRefusesWhatCannotBeBuilt(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	dir := b.tree()
	for _, test := range []struct {
		code exitCode
		want string
		args []string
	}{
		{exitUsage, "--path is missing", []string{"app"}},
		{exitUsage, "leave @prod-1 out", []string{"app@prod-1", "--path", dir}},
		{exitUsage, "no such file", []string{"app", "--path", dir + "/nowhere"}},
		{exitUsage, "is no directory", []string{"app", "--path", dir + "/kustomization.yaml"}},
		{exitUsage, "is not in --root", []string{"app", "--path", dir, "--root", dir + "/../../base"}},
		{exitUsage, "base", []string{"app", "--path", dir, "--root", dir}}, // it reaches out of the root
		{exitNotFound, "none", []string{"none", "--path", dir}},
		{exitUsage, "has no Kustomization apps/none", []string{"none", "--path", dir, "--kustomization-file", b.write("empty.yaml", gitApp)}},
		{exitUsage, "bad.yaml", []string{"app", "--path", dir, "--kustomization-file", b.write("bad.yaml", "a: [")}},
	} {
		b.fails(test.code, []string{test.want}, append([]string{"build", "ks"}, test.args...)...)
	}
}

func TestBuildOfEncryptedFilesSaysWhoCanMakeIt(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	dir := strings.TrimSuffix(b.write("tree/kustomization.yaml", "secretGenerator: [{name: s, files: [token.yaml]}]\n"), "/kustomization.yaml")
	b.write("tree/token.yaml", "a: ENC[AES256_GCM,data:eA==,type:str]\nsops:\n  lastmodified: \"2026-01-01T00:00:00Z\"\n  mac: ENC[AES256_GCM,data:eA==,type:str]\n")
	plain := b.write("plain.yaml", ksApp)
	decrypting := b.write("decrypting.yaml", strings.Replace(ksApp, "path: ./deploy,", "path: ./deploy, decryption: {provider: sops},", 1))
	for _, command := range [][]string{{"build", "ks", "app"}, {"diff", "ks/app"}} {
		r := b.fails(exitUsage, []string{"token.yaml", "the hub leaves this build to the clusters", "decrypt them", "try: fleetctl diff ks/apps/app\n"},
			append(command, "--path", dir, "--kustomization-file", decrypting)...)
		if strings.Contains(r.stderr, "set spec.decryption") {
			t.Errorf("%v says to set what is set:\n%s", command, r.stderr)
		}
		b.fails(exitUsage, []string{"token.yaml", "set spec.decryption"}, append(command, "--path", dir, "--kustomization-file", plain)...)
	}
}
