package main

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

func TestClusterThatARolloutIsNotAboutIsNamed(t *testing.T) {
	t.Parallel()
	b := newRolling(t)
	for _, method := range []string{"SkipClusters", "RetryClusters"} {
		b.hub.fail(method, status.Error(codes.NotFound, "cluster nope of rollout ro-7k2f: not found"))
	}
	for _, args := range []string{"skip-cluster ks/app nope -y", "retry-cluster ks/app nope"} {
		r := b.fails(exitNotFound, []string{"cluster nope of rollout ro-7k2f", "that cluster is not in it", "try: fleetctl rollout status ro-7k2f --watch=false -o wide"}, append([]string{"rollout"}, strings.Fields(args)...)...)
		if strings.Contains(r.stderr, "no such rollout") {
			t.Errorf("stderr:\n%s", r.stderr)
		}
	}
}

func TestClustersAreRetriedAndSkippedByNameOrAll(t *testing.T) {
	t.Parallel()
	b := newRolling(t)
	b.hub.changeRollout(t, "ro-7k2f", func(ro *adminv1.Rollout) { ro.Phase, ro.Reason = phaseHalted, "FailureBudget" })
	r := b.ok("rollout", "retry-cluster", "ks/app", "eu-2", "eu-3")
	want(t, "stdout", r.stdout, rolloutType+"/ro-7k2f tries again: eu-2, eu-3")
	wantTexts(t, "stderr", r.stderr, "it goes on with: fleetctl rollout resume ro-7k2f")
	b.ok("rollout", "retry-cluster", "ro-7k2f", "--all-failed")
	b.fails(exitUsage, []string{"goes on without every cluster that is deferred: they stay at what they have until this rollout, or a later one, has succeeded, and catch up then; fleetctl freeze keeps them out", "try: -y"}, "rollout", "skip-cluster", "ks/app", "--all-deferred")
	for _, verb := range []string{"skip-cluster", "retry-cluster"} {
		b.fails(exitUsage, []string{"eu-3 and every cluster that failed: name clusters, or give the --all flags, and not both"}, "rollout", verb, "ks/app", "eu-3", "--all-failed")
	}
	b.ok("rollout", "skip-cluster", "ks/app", "--all-failed", "--all-deferred", "--all-stale", "-y", "--reason", "are rebuilt")
	retries, skips := requestsOf[*adminv1.RetryClustersRequest](b.hub), requestsOf[*adminv1.SkipClustersRequest](b.hub)
	if len(retries) != 2 || strings.Join(retries[0].GetClusters(), " ") != "eu-2 eu-3" || !retries[1].GetAllFailed() {
		t.Errorf("sent %v", retries)
	}
	if len(skips) != 1 || !skips[0].GetAllFailed() || !skips[0].GetAllDeferred() || !skips[0].GetAllStale() || skips[0].GetApp().GetReason() != "are rebuilt" {
		t.Errorf("sent %v", skips)
	}
}

func TestWhatPassingClustersOverMeansForTheWaveIsSaid(t *testing.T) {
	t.Parallel()
	const failed, nobody = "that is all that has failed of wave eu: the rollout ", "nobody is left in wave eu, "
	const shown = nobody + "which has shown nothing of the release then: the rollout "
	const everybody = "eu-1 eu-2 eu-3 eu-4 eu-5"
	phase := func(p string) func(*adminv1.Rollout) {
		return func(ro *adminv1.Rollout) { ro.Phase, ro.Reason = p, "User" }
	}
	ungated := func(ro *adminv1.Rollout) { ro.Waves[1].After[0].Phase = "Overridden" }
	last := func(ro *adminv1.Rollout) {
		ro.Waves[2].Totals = &adminv1.RolloutTotals{Size: 3, Removed: 2, Skipped: 1}
		ungated(ro)
	}
	onlyThere := func(verdict string) func(*adminv1.Rollout) {
		return func(ro *adminv1.Rollout) {
			last(ro)
			ro.Waves[0].Totals = &adminv1.RolloutTotals{Size: 1, Deferred: 1}
			ro.Totals.Succeeded, ro.Verdict = 1, verdict // of wave eu
		}
	}
	required := func(ro *adminv1.Rollout) {
		ro.Policy = []byte(`{"waves":[{"name":"canary"},{"name":"eu","required":true}]}`)
	}
	for _, test := range []struct {
		name   string
		change func(*adminv1.Rollout)
		args   string
		want   string
	}{
		{"one that failed", nil, "eu-2", failed + "goes on to wave rest once the others are there and gate prod-go has passed"},
		{"all that failed", nil, "--all-failed", failed + "goes on to wave rest once the others are there and gate prod-go has passed"},
		{"all but one", ungated, "eu-2 eu-3 eu-4 eu-5", failed + "goes on to wave rest by that"},
		{"one that is deferred", nil, "eu-3", ""},
		{"all that are deferred", nil, "--all-deferred", ""},
		{"of another wave", nil, "us-1", ""},
		{"some", nil, "eu-1 eu-3", ""},
		{"all", nil, everybody, shown + "goes on to wave rest once gate prod-go has passed"},
		{"all, without a gate", ungated, everybody, shown + "goes on to wave rest by that"},
		{"all, before it began", func(ro *adminv1.Rollout) {
			ro.Waves[1].Before = []*adminv1.RolloutGate{{Name: "soak", Phase: "Running"}}
		}, everybody, shown + "goes on to wave rest once gates soak and prod-go have passed"},
		{"halted", phase(phaseHalted), "eu-2", failed + "goes on to wave rest once it is resumed, the others are there and gate prod-go has passed"},
		{"all of one that is halted", phase(phaseHalted), everybody, shown + "goes on to wave rest once it is resumed and gate prod-go has passed"},
		{"all of one that is paused", phase(phasePaused), everybody, shown + "goes on to wave rest once it is resumed and gate prod-go has passed"},
		{"all that is required", required, everybody, nobody + "and the policy requires somebody: the rollout halts (EmptyRequiredWave), unless fleetctl rollout resume ro-7k2f --accept-coverage takes the wave as it is"},
		{"what failed of what is required", required, "eu-2", failed + "goes on to wave rest once the others are there and gate prod-go has passed"},
		{"all of the last one", last, everybody, shown + "comes to its end by that"},
		{"all there are", onlyThere("Unknown"), everybody, shown + "ends as Cancelled by that, since no cluster has the release"},
		{"all there are, of a good release", onlyThere("Good"), everybody, shown + "comes to its end by that"},
	} {
		b := newRolling(t)
		if test.change != nil {
			b.hub.changeRollout(t, "ro-7k2f", test.change)
		}
		r := b.fails(exitUsage, []string{test.want}, append([]string{"rollout", "skip-cluster", "ks/app"}, strings.Fields(test.args)...)...)
		if says := strings.Count(r.stderr, failed) + strings.Count(r.stderr, nobody); says > 1 || says == 1 && test.want == "" || test.want != "" && !strings.Contains(r.stderr, test.want+"\n") {
			t.Errorf("%s: want %q, stderr:\n%s", test.name, test.want, r.stderr)
		}
	}
}

func TestClustersThatDidNotCatchUpAreRetriedThoughTheRolloutIsOver(t *testing.T) {
	t.Parallel()
	b := newRolling(t)
	b.fails(exitPrecondition, []string{"ro-6aaa is over, and ro-7k2f of ks/app is Running", "fleetctl rollout retry-cluster ro-7k2f"}, "rollout", "retry-cluster", "ro-6aaa", "eu-9")
	b.hub.changeRollout(t, "ro-7k2f", succeed)
	want(t, "stdout", b.ok("rollout", "retry-cluster", "ks/app", "eu-9").stdout, rolloutType+"/ro-7k2f tries again: eu-9")
	q := requestsOf[*adminv1.RetryClustersRequest](b.hub)
	if len(q) != 1 || q[0].GetApp().GetId() != "" || q[0].GetApp().GetName() != "app" || q[0].GetClusters()[0] != "eu-9" { // it is about the App
		t.Errorf("sent %v", q)
	}
	b.fails(exitPrecondition, []string{"ro-7k2f of ks/app is over"}, "rollout", "skip-cluster", "ks/app", "eu-9", "-y")
}

func TestClustersThatDidNotCatchUpAreRetriedInAnAppThatNeverHadARollout(t *testing.T) {
	t.Parallel()
	b := newRolling(t)
	b.hub.rolled.rollouts = nil
	b.fails(exitNotFound, []string{"fleetctl rollout plan ks/app"}, "rollout", "pause", "ks/app")
	b.fails(exitNotFound, []string{"fleetctl get rollouts -A"}, "rollout", "retry-cluster", "ro-7k2f", "late")
	r := b.ok("rollout", "retry-cluster", "ks/app", "late")
	want(t, "stdout", r.stdout, "kustomization.kustomize.toolkit.fluxcd.io/app tries again: late")
	wantTexts(t, "stderr", r.stderr, "fleetctl events --for ks/app")
	q := requestsOf[*adminv1.RetryClustersRequest](b.hub)
	if len(q) != 1 || q[0].GetApp().GetId() != "" || q[0].GetApp().GetName() != "app" {
		t.Errorf("sent %v", q)
	}
	b.fails(exitNotFound, []string{"retry clusters of ks/app: "}, "rollout", "retry-cluster", "ks/app", "eu-1")
}
