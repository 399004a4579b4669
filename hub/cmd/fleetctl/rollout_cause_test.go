package main

import (
	"strings"
	"testing"

	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

func TestWhyARolloutWasBegunIsShownWhereverItIs(t *testing.T) {
	t.Parallel()
	b := newRolling(t)
	b.hub.changeRollout(t, "ro-7k2f", func(ro *adminv1.Rollout) { ro.Actor, ro.ChangeCause = "user:admin", "ticket 12" })
	b.hub.changeRollout(t, "ro-6aaa", func(ro *adminv1.Rollout) {
		ro.Phase, ro.Reason, ro.Message, ro.ChangeCause, ro.Verdict = phaseSucceeded, "", "", "incident\n 4711", "Good"
	})
	if got, want := b.ok("rollout", "status", "ks/app", "-w=false").stdout, `
ro-7k2f   ks/app -n apps   main@sha1:696f056d (sha256:9f3c1a2b)   by user:admin, 20m ago
  change cause: ticket 12
◎ Running   ███░░░░░░░░░░░░ 2/9   1 failed   1 deferred
  WaitingClusters: 2 clusters are not there yet
  ✔ wave 1 `[1:]; !strings.HasPrefix(got, want) {
		t.Errorf("status shows\n%s\nwhich does not begin with\n%s", got, want)
	}
	const history = `
ID        REVISION             PHASE       WAVE     CLUSTERS   FAILED   VERDICT   BEGUN   TOOK   BY           MESSAGE
ro-7k2f   main@sha1:696f056d   Running     2/3 eu   2/9        1        -         20m     20m    user:admin   WaitingClusters: 2 clusters are not there yet; change cause: ticket 12
ro-6aaa   main@sha1:bad0bad0   Succeeded   -        0/9        1        Good      90m     10m    user:admin   change cause: incident 4711`
	want(t, "history", b.ok("rollout", "history", "ks/app").stdout, history)
	wantTexts(t, "get", b.ok("get", "rollouts").stdout, "; change cause: ticket 12\n")
	for _, args := range []string{"rollout status ro-7k2f -w=false", "get ro/ro-7k2f"} {
		if d := parseJSON(t, b.ok(append(strings.Fields(args), "-o", "json")...).stdout); d["changeCause"] != "ticket 12" || d["reason"] != "WaitingClusters" {
			t.Errorf("%s -o json gives %v", args, d)
		}
	}
	listed := parseJSON(t, b.ok("rollout", "history", "ks/app", "-o", "json").stdout)
	if first := listed["items"].([]any)[0].(map[string]any); first["changeCause"] != "ticket 12" {
		t.Errorf("history -o json gives %v", first)
	}
	fleet := parseJSON(t, b.ok("status", "-o", "json").stdout)
	if first := fleet["rollouts"].([]any)[0].(map[string]any); first["changeCause"] != "ticket 12" {
		t.Errorf("status -o json gives %v", first)
	}
}

func TestClustersThatWerePassedOverAreOnTheScreenWithWhatWasSaid(t *testing.T) {
	t.Parallel()
	b := newRolling(t)
	b.hub.changeRollout(t, "ro-7k2f", func(ro *adminv1.Rollout) {
		ro.Totals.Deferred, ro.Totals.Skipped = 0, 1
		ro.Waves[1].Totals.Deferred, ro.Waves[1].Totals.Skipped = 0, 1
	})
	passed := b.hub.rolled.members[3]
	passed.Phase, passed.Failure, passed.Message, passed.WaitsFor = "Skipped", "Operator", "is being rebuilt", ""
	wantTexts(t, "status", b.ok("rollout", "status", "ks/app", "-w=false").stdout, "   1 failed (1 may), 1 skipped\n", "\n      eu-3   Skipped: Operator: is being rebuilt\n")
	wide := b.ok("rollout", "status", "ks/app", "-w=false", "-o", "wide").stdout
	if n := strings.Count(wide, "is being rebuilt"); n != 1 {
		t.Errorf("-o wide says it %d times:\n%s", n, wide)
	}
	r := b.fails(exitTimeout, nil, "rollout", "wait", "ks/app", "--timeout", "0s")
	if strings.Contains(r.stderr, "eu-3") {
		t.Errorf("eu-3 is not missing, it was passed over:\n%s", r.stderr)
	}
}
