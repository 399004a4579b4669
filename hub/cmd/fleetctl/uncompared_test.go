package main

import (
	"strings"
	"testing"

	"flotilla.dev/flotilla/pkg/fleet"
)

// What the clusters do after the build they do as the hub has it, whatever a file says.
func TestDiffWarnsOfWhatAFileSaysAndIsNotCompared(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	b.hub.answers = map[string]any{"prod-1": fleet.Diff{}}
	dir := b.tree()
	for fields, want := range map[string]string{
		"path: ./deploy,":                 "",
		"path: ./deploy, namePrefix: x-,": "", // it is built with
		"path: ./deploy, timeout: 17s,":   "", // it changes no object
		"path: ./deploy, force: true,":    "spec.force",
		"path: ./deploy, decryption: {provider: sops}, postBuild: {substitute: {A: b}}, commonMetadata: {labels: {a: b}}, serviceAccountName: deployer, ignore: [{paths: [/spec/replicas]}],": "spec.commonMetadata, spec.decryption, spec.ignore, spec.postBuild, spec.serviceAccountName",
	} {
		file := b.write("ks.yaml", strings.Replace(ksApp, "path: ./deploy,", fields, 1))
		r := b.ok("diff", "ks/app@prod-1", "--path", dir, "--kustomization-file", file)
		switch warned := strings.Contains(r.stderr, "not compared"); {
		case want == "" && warned:
			t.Errorf("%s: it warns\n%s", fields, r.stderr)
		case want != "" && !strings.Contains(r.stderr, " for "+want+": these are not compared"):
			t.Errorf("%s: it does not warn of %s:\n%s", fields, want, r.stderr)
		}
	}
	if r := b.ok("diff", "ks/app@prod-1", "--path", dir); strings.Contains(r.stderr, "not compared") {
		t.Errorf("without a file it warns\n%s", r.stderr)
	}
}
