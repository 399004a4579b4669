package api_test

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// targetLines are what a Placement's targets are, a line each.
func targetLines(resp *adminv1.ListTargetsResponse) string {
	var lines []string
	for _, c := range resp.GetTargets() {
		line := fmt.Sprintf("%s %t: %s", c.GetCluster(), c.GetTargeted(), c.GetWhy())
		if c.GetHeld() != "" {
			line += "; held: " + c.GetHeld()
		}
		for _, app := range c.GetApps() {
			line += fmt.Sprintf("; %s in %s", app.GetApp(), app.GetWave())
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func taintedYAML(name, effect string) string {
	return `{"apiVersion":"fleet.flotilla.dev/v1alpha1","kind":"Cluster","metadata":{"name":"` + name + `","labels":{"tier":"prod"}},"spec":{"variables":{"REGION":"eu"},"taints":[{"key":"drain","value":"yes","effect":"` + effect + `"}]}}`
}

func TestTargetsOfAnAppAreEveryClusterWithTheReasonAndTheWave(t *testing.T) {
	t.Parallel()
	f := newRolled(t, canaryFirst)
	f.push("one")
	f.approved()
	f.apply(taintedYAML("prod-2", "NoSchedule")) // the App is there
	f.apply(taintedYAML("prod-3", "NoSchedule"))
	if _, err := f.rollouts.Freeze(f.ctx, &adminv1.FreezeRequest{Clusters: []string{"prod-1"}, Reason: "its disk"}); err != nil {
		t.Fatal(err)
	}
	for _, req := range []*adminv1.ListTargetsRequest{
		{Kind: "Kustomization", Namespace: "apps", Name: "app"}, {Kind: "Placement", Namespace: "apps", Name: "app"},
	} {
		resp, err := f.rollouts.ListTargets(f.ctx, req)
		if err != nil {
			t.Fatal(err)
		}
		if got, wanted := targetLines(resp), strings.Join([]string{
			"canary-1 true: its labels match; Kustomization/apps/app in canary",
			"dev-1 false: its labels do not meet tier In (canary, prod)",
			"prod-1 true: its labels match; held: its disk; Kustomization/apps/app in rest",
			"prod-2 true: its labels match, and it keeps what it has in spite of its taint drain=yes:NoSchedule; Kustomization/apps/app in rest",
			"prod-3 false: its taint drain=yes:NoSchedule is not tolerated",
		}, "\n"); got != wanted {
			t.Errorf("targets of %v:\n%s\nwant\n%s", req, got, wanted)
		}
		if c := resp.GetTargets()[0]; !c.GetConnected() || c.GetLabels()["tier"] != "canary" || !strings.HasPrefix(c.GetApps()[0].GetRelease(), "sha256:") || len(c.GetApps()[0].GetVariables()) > 0 {
			t.Errorf("canary-1 %v", c)
		}
	}
}

func TestTargetsOfAPlacementBeforeItIsDeclared(t *testing.T) {
	t.Parallel()
	f := newRolled(t, canaryFirst)
	f.apply(strings.Replace(ksYAML, `"prune":true`, `"prune":true,"postBuild":{}`, 1))
	f.apply(taintedYAML("prod-2", "NoExecute"))
	given := placementYAML("other", `{"apps":[{"kind":"Kustomization","name":"app"},{"kind":"HelmRelease","name":"none"}],"clusters":{"names":["prod-1","prod-2","typo"]},`+
		`"tolerations":[{"key":"drain","operator":"Exists"}],`+
		`"overrides":[{"clusters":{"names":["prod-2"]},"patches":[{"patch":"[{\"op\":\"remove\",\"path\":\"/spec\"}]","target":{"kind":"Deployment"}}]},{"clusters":{"selector":{}},"values":{"a":1}}]}`)
	resp, err := f.rollouts.ListTargets(f.ctx, &adminv1.ListTargetsRequest{Placement: []byte(given), Namespace: "apps"})
	if err != nil {
		t.Fatal(err)
	}
	want(t, targetLines(resp), "canary-1 false: its name is not given\n")
	want(t, targetLines(resp), "prod-2 true: its name is given; Kustomization/apps/app in ; HelmRelease/apps/none in ")
	if fmt.Sprint(resp.GetMissingApps(), resp.GetMissingClusters()) != "[HelmRelease/apps/none] [typo]" {
		t.Errorf("missing %v and %v", resp.GetMissingApps(), resp.GetMissingClusters())
	}
	apps := resp.GetTargets()[3].GetApps()
	if v := apps[0].GetVariables(); v["REGION"] != "eu" || v["CLUSTER_NAME"] != "prod-2" || apps[0].GetPatches() != 1 || apps[0].GetRelease() != "" || len(apps[0].GetValues()) > 0 {
		t.Errorf("app %v", apps[0])
	}
	if string(apps[1].GetValues()) != `{"a":1}` || len(apps[1].GetVariables()) > 0 {
		t.Errorf("none %v", apps[1])
	}
	for words, req := range map[string]*adminv1.ListTargetsRequest{
		`kind "": invalid`:                           {},
		"kind: Cluster is neither an App nor":        {Kind: "Cluster", Name: "prod-1"},
		"namespace: is required":                     {Kind: "Placement", Name: "app"},
		`name: is "app", and that of the given`:      {Placement: []byte(given), Name: "app"},
		"placement: RolloutPolicy/p is no Placement": {Placement: []byte(policyYAML("p", `{"waves":[{"name":"all"}]}`))},
		"spec.apps: at least one App is required":    {Placement: []byte(placementYAML("x", `{"clusters":{"names":["a"]}}`))},
		"spec.overrides[0].patches[0]":               {Placement: []byte(placementYAML("x", `{"apps":[{"kind":"Kustomization","name":"a"}],"clusters":{"names":["a"]},"overrides":[{"clusters":{"selector":{}},"patches":[{"patch":"no"}]}]}`))},
	} {
		_, err := f.rollouts.ListTargets(f.ctx, req)
		wantCode(t, err, codes.InvalidArgument, words)
	}
	_, err = f.rollouts.ListTargets(f.ctx, &adminv1.ListTargetsRequest{Kind: "Placement", Namespace: "apps", Name: "none"})
	wantCode(t, err, codes.NotFound, "Placement/apps/none")
}

func TestTargetsOfAnAppThatIsNotPlaced(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	for _, object := range []string{gitYAML, ksYAML, clusterYAML("prod-1", "prod")} {
		b.apply(object)
	}
	resp, err := b.rollouts.ListTargets(b.ctx, &adminv1.ListTargetsRequest{Kind: "Kustomization", Namespace: "apps", Name: "app"})
	if err != nil || targetLines(resp) != "prod-1 false: no Placement names the App" || len(resp.GetMissingApps()) > 0 {
		t.Errorf("targets %v, error %v", resp, err)
	}
}
