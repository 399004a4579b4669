package api_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"flotilla.dev/flotilla/hub/rollout"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// watched are the answers of a WatchRollout as they come.
func (f *rolled) watched(after uint64) func() *adminv1.WatchRolloutResponse {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.ctx, 20*time.Second)
	f.t.Cleanup(cancel)
	stream, err := f.rollouts.WatchRollout(ctx, &adminv1.WatchRolloutRequest{App: appRollout(), After: after})
	if err != nil {
		f.t.Fatal(err)
	}
	return func() *adminv1.WatchRolloutResponse {
		f.t.Helper()
		resp, err := stream.Recv()
		if err != nil {
			f.t.Fatal(err)
		}
		return resp
	}
}

func TestWatchTellsWhatIsThenWhatHappensAndGoesOnAfterTheEnd(t *testing.T) {
	t.Parallel()
	f := newRolled(t, canaryFirst)
	f.push("one")
	f.roll()
	next := f.watched(0)
	first := next()
	if r := first.GetRollout(); r.GetPhase() != "Running" || len(r.GetWaves()) != 2 {
		t.Errorf("first %v", r)
	}
	seen := map[uint64]string{}
	take := func(resp *adminv1.WatchRolloutResponse) {
		for _, e := range resp.GetEvents() {
			if seen[e.GetNumber()] != "" || e.GetAt() == nil {
				t.Errorf("told of %v twice, or without its time", e)
			}
			seen[e.GetNumber()] = e.GetType()
		}
	}
	take(first)
	f.approved()
	for last := first; last.GetRollout().GetPhase() != "Succeeded"; take(last) {
		last = next()
	}
	var types []string
	for n := uint64(1); n <= uint64(len(seen)); n++ {
		types = append(types, seen[n])
	}
	for _, wanted := range []string{"Started", "ClusterDispatched", "ClusterSucceeded", "GateOpened", "Approved", "GatePassed", "WaveDone", "Succeeded"} {
		if !slices.Contains(types, wanted) {
			t.Errorf("no event %s among %v", wanted, types)
		}
	}
	resumed := f.watched(uint64(len(seen)) - 1)()
	if e := resumed.GetEvents(); len(e) != 1 || e[0].GetNumber() != uint64(len(seen)) || e[0].GetType() != types[len(types)-1] || resumed.GetRollout().GetPhase() != "Succeeded" {
		t.Errorf("resumed with %v", resumed)
	}
}

func TestWatchIsOfTheRolloutThatItBeganWith(t *testing.T) {
	t.Parallel()
	f := newRolled(t, strings.Replace(canaryFirst, `{"waves"`, `{"onNewRevision":"Supersede","waves"`, 1))
	f.push("one")
	id := f.waiting().GetId()
	next := f.watched(0)
	next()
	f.push("two")
	f.roll()
	resp := next()
	if r := resp.GetRollout(); r.GetId() != id || r.GetPhase() != string(rollout.Superseded) || r.GetSupersededBy() != f.current().GetId() {
		t.Errorf("told of %v, not of the end of %s", r, id)
	}
}

func TestWatchOfNoRolloutIsRefused(t *testing.T) {
	t.Parallel()
	f := newRolled(t, canaryFirst)
	stream, err := f.rollouts.WatchRollout(f.ctx, &adminv1.WatchRolloutRequest{App: appRollout()})
	if err != nil {
		t.Fatal(err)
	}
	_, err = stream.Recv()
	wantCode(t, err, codes.NotFound, "none has begun yet")
}

// A watch of objects that goes on after a hub's restart is told of freezes and Rollouts that began or ended meanwhile.
func TestWatchOfObjectsIsToldWhatFollowsFromFreezesAndRollouts(t *testing.T) {
	t.Parallel()
	f := newRolled(t, canaryFirst)
	f.push("one")
	f.waiting()
	clusters, apps := f.list(&adminv1.ListRequest{Kind: "Cluster"}), f.list(&adminv1.ListRequest{Kind: "Kustomization"})
	if _, err := f.rollouts.Freeze(f.ctx, &adminv1.FreezeRequest{Reason: "an incident"}); err != nil {
		t.Fatal(err)
	}
	clusters.watch().wants("changed canary-1", "changed dev-1", "changed prod-1", "changed prod-2")
	clusters = f.list(&adminv1.ListRequest{Kind: "Cluster"})
	if _, err := f.rollouts.Unfreeze(f.ctx, &adminv1.UnfreezeRequest{}); err != nil {
		t.Fatal(err)
	}
	clusters.watch().wants("changed canary-1", "changed dev-1", "changed prod-1", "changed prod-2")
	if _, err := f.rollouts.PauseRollout(f.ctx, &adminv1.PauseRolloutRequest{App: appRollout()}); err != nil {
		t.Fatal(err)
	}
	apps.watch().wants("changed app")
	policies := f.list(&adminv1.ListRequest{Kind: "RolloutPolicy"})
	f.apply(placementYAML("app", strings.Replace(managedEverywhere, `,"rolloutPolicyRef":{"name":"prod"}`, "", 1)))
	policies.watch().wants("changed prod")
}
