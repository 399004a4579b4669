package main

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// begunBack is a Rollout to what was good before that the next rollback asks for, over, with clusters behind.
func begunBack(b *bundle, totals *adminv1.RolloutTotals) {
	back := testRollout()
	back.Id, back.Kind = "ro-9bbb", "Backward"
	succeed(back)
	back.Totals = totals
	b.hub.putRollout(back)
}

func TestRollbackThatLeavesClustersBehindSaysWhichAreStillToGoBack(t *testing.T) {
	t.Parallel()
	b := newRolling(t)
	b.hub.rolled.members = []*adminv1.RolloutCluster{
		{Cluster: "eu-1", Phase: "Succeeded"},
		{Cluster: "eu-2", Phase: "Deferred", Failure: "Held", WaitsFor: "fleetctl unfreeze eu-2"},
		{Cluster: "eu-3", Phase: "Deferred", Failure: "Offline", WaitsFor: "it to connect"},
	}
	begunBack(b, &adminv1.RolloutTotals{Size: 3, Succeeded: 1, Deferred: 2})
	const left = "Warning: 2 of 3 clusters are still to go back: eu-2: Deferred: Held: waits for fleetctl unfreeze eu-2; eu-3: Deferred: Offline: waits for it to connect\n"
	r := b.ok("rollout", "wait", "ro-9bbb", "-q")
	want(t, "stderr", r.stderr, left)
	want(t, "stdout", r.stdout, rolloutType+"/ro-9bbb succeeded")
	parseJSON(t, b.ok("rollout", "wait", "ro-9bbb", "-o", "json").stdout)

	b.hub.fail("ListRolloutClusters", status.Error(codes.Unavailable, "connection refused"))
	wantTexts(t, "stderr", b.ok("rollout", "wait", "ro-9bbb").stderr, "Warning: 2 of 3 clusters are still to go back: fleetctl rollout status ro-9bbb --watch=false has them")
}

func TestRollbackWithWaitSaysWhatIsStillToGoBack(t *testing.T) {
	t.Parallel()
	b := newRolling(t)
	b.hub.changeRollout(t, "ro-7k2f", succeed)
	b.hub.rolled.members = []*adminv1.RolloutCluster{{Cluster: "eu-2", Phase: "Deferred", Failure: "Held", WaitsFor: "fleetctl unfreeze eu-2"}}
	r := b.start("rollout", "rollback", "ks/app", "-y", "--wait")
	r.stderr.says(t, "ro-9bbb of ks/app goes back")
	b.hub.changeRollout(t, "ro-9bbb", func(ro *adminv1.Rollout) {
		succeed(ro)
		ro.Totals = &adminv1.RolloutTotals{Size: 9, Succeeded: 8, Deferred: 1}
	})
	if code := r.wait(); code != 0 {
		t.Errorf("exit %d", code)
	}
	wantTexts(t, "stderr", r.stderr.String(), "Warning: 1 of 9 clusters is still to go back: eu-2: Deferred: Held")
}

func TestRolloutThatIsThereEverywhereOrGoesForwardSaysNothingOfClustersToGoBack(t *testing.T) {
	t.Parallel()
	b := newRolling(t)
	b.hub.changeRollout(t, "ro-7k2f", succeed)
	begunBack(b, &adminv1.RolloutTotals{Size: 3, Succeeded: 3})
	for _, id := range []string{"ro-7k2f", "ro-9bbb"} {
		if r := b.ok("rollout", "wait", id); strings.Contains(r.stderr, "go back") {
			t.Errorf("%s: %s", id, r.stderr)
		}
	}
}
