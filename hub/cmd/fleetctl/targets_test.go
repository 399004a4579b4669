package main

import (
	"strings"
	"testing"

	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

func TestTargetsSayWhoGetsAnAppAndWhyOthersDoNot(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	b.hub.rolled.targets = &adminv1.ListTargetsResponse{
		Targets: []*adminv1.Target{
			{Cluster: "lab-1", Why: "its labels do not match", Connected: true},
			{Cluster: "prod-1", Labels: map[string]string{"env": "prod"}, Targeted: true, Why: "its labels", Connected: true, Held: "annotation fleet.flotilla.dev/hold",
				Apps: []*adminv1.TargetApp{{App: "Kustomization/apps/app", Release: "sha256:9f3c1a2b00001111", Wave: "canary", Variables: map[string]string{"A": "b"}, Patches: 2}}},
		},
		MissingClusters: []string{"prod-9"},
	}
	r := b.ok("targets", "ks/app")
	want(t, "stdout", r.stdout, `
CLUSTER   TARGETED   WHY                       WAVE     RELEASE           CONNECTED   HELD
prod-1    True       its labels                canary   sha256:9f3c1a2b   True        annotation fleet.flotilla.dev/hold
lab-1     False      its labels do not match   -        -                 True        -`)
	want(t, "stderr", r.stderr, "⚠ cluster prod-9 is not registered\n► 1 of 2 clusters")
	wantTexts(t, "wide", b.ok("targets", "ks/app", "-o", "wide").stdout, "LABELS     VARIABLES   PATCHES   VALUES", "env=prod   A=b         2         -")
	file := b.write("placement.yaml", placementApp[:strings.Index(placementApp, "status:")])
	b.ok("targets", "-f", file)
	requests := requestsOf[*adminv1.ListTargetsRequest](b.hub)
	if q := requests[0]; q.GetKind() != "Kustomization" || q.GetNamespace() != "apps" || q.GetName() != "app" {
		t.Errorf("sent %v", q)
	}
	if q := requests[len(requests)-1]; !strings.Contains(string(q.GetPlacement()), `"matchLabels":{"env":"prod"}`) || q.GetName() != "" {
		t.Errorf("sent %v", q)
	}
	b.fails(exitUsage, []string{"name an app or a placement"}, "targets")
	b.fails(exitUsage, []string{"apps and placements are for clusters"}, "targets", "gitrepo/app")
	b.fails(exitUsage, []string{"is not pl/other"}, "targets", "pl/other", "-f", file)
}

func TestTargetsOfAPlacementWhosePolicyIsNotDeclaredSaySo(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	named := strings.Replace(placementApp, "spec: {", "spec: {rolloutPolicyRef: {name: prod}, ", 1)
	file := b.write("placement.yaml", named[:strings.Index(named, "status:")])
	b.fails(exitUsage, []string{"-f looks at the Placement in the file", "fleetctl targets -f " + file}, "targets", "ks/app", "-f", file)
	b.hub.rolled.targets.Targets = []*adminv1.Target{{Cluster: "prod-1", Targeted: true, Apps: []*adminv1.TargetApp{{App: "Kustomization/apps/app"}}}}
	if r := b.ok("targets", "ks/app"); strings.Contains(r.stderr, "not declared") {
		t.Errorf("stderr:\n%s", r.stderr)
	}
	b.hub.put(t, named)
	for _, args := range []string{"ks/app", "pl/app", "-f " + file} {
		wantTexts(t, args, b.ok(append([]string{"targets"}, strings.Fields(args)...)...).stderr, "RolloutPolicy/prod is not declared: nothing new goes to any cluster until it is, and no waves can be told")
	}
	b.hub.put(t, policyYAML)
	if r := b.ok("targets", "ks/app"); strings.Contains(r.stderr, "not declared") {
		t.Errorf("stderr:\n%s", r.stderr)
	}
}
