package main

import (
	"encoding/json"
	"slices"
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
	r := b.ok("build", "ks/app", "--path", dir)
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
	b.fails(exitUsage, []string{"only a Kustomization"}, "build", "gitrepository/app", "--path", dir)
	b.fails(exitUsage, []string{"an argument too many"}, "build", "ks", "app", "other", "--path", dir)
	b.fails(exitUsage, []string{"ks/other", "an argument too many"}, "build", "ks/app", "ks/other", "--path", dir)
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

func TestBuildExplainsWhichWayATreeTakesAndWhy(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	dir := b.tree()
	explain := func(args ...string) result {
		t.Helper()
		return b.ok(append([]string{"build", "ks", "app", "--path", dir, "--explain", "--kustomization-file", b.write("ks.yaml", ksApp)}, args...)...)
	}
	r := explain()
	wantTexts(t, "engine", r.stdout, "Class:     engine\n", "Why:       overlays/prod/kustomization.yaml: namePrefix: ", "Built by:  engine\n", "Objects:   2\n", "Files:     4\n")
	if strings.Contains(r.stdout, "canary") || strings.Contains(r.stdout, "base/app.yaml") || strings.Contains(r.stdout, "Because") {
		t.Errorf("it says too much:\n%s", r.stdout)
	}
	wantTexts(t, "wide", explain("-o", "wide").stdout, "  base/app.yaml\n  base/kustomization.yaml\n  base/secret.yaml\n  overlays/prod/kustomization.yaml\n")
	var document struct {
		Class, File, Field, BuiltBy, Key string
		Objects                          int
		Files, Inputs                    []string
	}
	if err := json.Unmarshal([]byte(explain("-o", "json").stdout), &document); err != nil {
		t.Fatal(err)
	}
	if document.Class != "engine" || document.BuiltBy != "engine" || document.File != "overlays/prod/kustomization.yaml" || document.Field != "namePrefix" || document.Objects != 2 ||
		!strings.HasPrefix(document.Key, "sha256:") || len(document.Files) != 4 || !slices.Contains(document.Inputs, "base/kustomization.yml") {
		t.Errorf("document %+v", document)
	}

	b.write("tree/overlays/prod/kustomization.yaml", "resources: [../../base]\ncrds: [crd.json]\n")
	b.write("tree/overlays/prod/crd.json", "{}")
	wantTexts(t, "kustomize", explain().stdout, "Class:     kustomize\n", "Why:       overlays/prod/kustomization.yaml: crds: only kustomize itself builds this field\n", "Built by:  kustomize\n", "Objects:   2\n")

	b.write("tree/overlays/prod/kustomization.yaml", "resources: [../../base]\n")
	b.write("tree/base/app.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: app\n  annotations: &a {x: y}\n  labels: *a\n")
	wantTexts(t, "plain", explain().stdout, "Class:     plain\n", "Built by:  ")

	b.write("tree/overlays/prod/kustomization.yaml", "resources: [../../base]\nsecretGenerator: [{name: x, envs: [x.env]}]\n")
	b.write("tree/overlays/prod/x.env", "PASSWORD=ENC[AES256_GCM,data:eA==,type:str]\nsops_mac=ENC[AES256_GCM,data:eA==,type:str]\n")
	decrypting := b.write("decrypting.yaml", strings.Replace(ksApp, "path: ./deploy,", "path: ./deploy, decryption: {provider: sops},", 1))
	wantTexts(t, "encrypted", b.ok("build", "ks", "app", "--path", dir, "--explain", "--kustomization-file", decrypting).stdout,
		"Class:     encrypted\n", "Why:       overlays/prod/x.env: encrypted with SOPS", "Built by:  each cluster\n", "Files:     5\n")
	for _, output := range []string{"wide", "json"} { // the hub refuses it
		r := b.fails(exitUsage, []string{"overlays/prod/x.env: encrypted with SOPS; set spec.decryption"},
			"build", "ks", "app", "--path", dir, "--explain", "--kustomization-file", b.write("ks.yaml", ksApp), "-o", output)
		want := map[string]string{"wide": "Built by:  nobody, until spec.decryption is set\n", "json": "\"class\": \"encrypted\""}[output]
		wantTexts(t, "encrypted, but not said so, "+output, r.stdout, want)
	}

	b.write("tree/overlays/prod/kustomization.yaml", "resources: ['https://example.com/x']\n")
	with := []string{"build", "ks", "app", "--path", dir, "--kustomization-file", b.write("ks.yaml", ksApp)}
	b.fails(exitUsage, []string{"overlays/prod/kustomization.yaml: resources: https://example.com/x: remote"}, append(with, "--explain")...)
	b.fails(exitUsage, []string{"--explain has it"}, append(with, "-o", "json")...)
	b.write("tree/overlays/prod/kustomization.yaml", "resources: []\n")
	b.env["FLOTILLA_OUTPUT"] = "json" // which is for commands that have it
	b.ok(with...)
	b.fails(exitUsage, []string{"leave --show-secrets out"}, append(with, "--explain", "--show-secrets")...)
}
