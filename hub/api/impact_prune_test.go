package api_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"flotilla.dev/flotilla/pkg/fleet"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// prunedByTurns is the App on canary-1, prod-1 and prod-2, which loses its objects in one cluster at a time.
func prunedByTurns(t *testing.T) *rolled {
	t.Helper()
	f := newRolled(t, canaryFirst)
	f.apply(placementYAML("app", prunedEverywhere))
	f.push("one")
	f.approved()
	return f
}

var prunedEverywhere = strings.Replace(managedEverywhere, `"rolloutPolicyRef"`, `"onUnmatch":"Prune","rolloutPolicyRef"`, 1)

// prunedOn is the Placement that chooses those tiers only.
func prunedOn(tiers ...string) string {
	return placementYAML("app", strings.Replace(prunedEverywhere, `["canary","prod"]`, fmt.Sprintf("[%q]", strings.Join(tiers, `","`)), 1))
}

func (f *rolled) change(object string, dryRun bool, confirm *uint32) (*adminv1.Impact, error) {
	resp, err := f.objects.Apply(f.ctx, &adminv1.ApplyRequest{Object: []byte(object), DryRun: dryRun, Confirm: confirm})
	return resp.GetImpact(), err
}

func (f *rolled) unplace(dryRun bool, confirm *uint32) (*adminv1.Impact, error) {
	resp, err := f.objects.Delete(f.ctx, &adminv1.DeleteRequest{Kind: "Placement", Namespace: "apps", Name: "app", DryRun: dryRun, Confirm: confirm})
	return resp.GetImpact(), err
}

// pruned has clusters lose the App, turn by turn, and returns in which of them that was confirmed; rest have it still.
func (f *rolled) pruned() (confirmed, unconfirmed, rest []string) {
	f.t.Helper()
	for range 10 {
		f.roll()
		instances, _, err := f.Instances(f.ctx, fleet.InstanceQuery{Kind: "Kustomization"})
		if err != nil {
			f.t.Fatal(err)
		}
		rest = nil
		for _, i := range instances {
			tomb := i.Assignment.Tombstone
			switch {
			case tomb == nil:
				rest = append(rest, i.Cluster)
			case tomb.Delete && tomb.Confirmed && !slices.Contains(confirmed, i.Cluster):
				confirmed = append(confirmed, i.Cluster)
			case tomb.Delete && !tomb.Confirmed && !slices.Contains(unconfirmed, i.Cluster):
				unconfirmed = append(unconfirmed, i.Cluster)
			}
		}
		f.say()
	}
	slices.Sort(confirmed)
	slices.Sort(unconfirmed)
	return confirmed, unconfirmed, rest
}

func (f *rolled) losesIn(confirmed, unconfirmed, rest string) {
	f.t.Helper()
	gotConfirmed, gotUnconfirmed, gotRest := f.pruned()
	got := fmt.Sprint(gotConfirmed, gotUnconfirmed, gotRest)
	if want := fmt.Sprintf("[%s] [%s] [%s]", confirmed, unconfirmed, rest); got != want {
		f.t.Errorf("deleted by a confirmation, without one, and not: %s; want %s", got, want)
	}
}

func TestPruneByTurnsIsConfirmedByTheNumberOfAllItsClusters(t *testing.T) {
	t.Parallel()
	f := prunedByTurns(t)
	narrow := prunedOn("canary")
	got, err := f.change(narrow, true, nil)
	if err != nil || got.GetClusters() != 2 || got.GetSummary() != "objects may be deleted in 2 clusters" {
		t.Errorf("%v, %v", got, err)
	}
	_, err = f.change(narrow, false, proto.Uint32(1))
	wantCode(t, err, codes.FailedPrecondition, "1 clusters were confirmed and the change concerns 2")
	if _, err := f.change(narrow, false, proto.Uint32(2)); err != nil {
		t.Fatal(err)
	}
	f.losesIn("prod-1 prod-2", "", "canary-1")
}

func TestDeletionOfAPlacementThatPrunesByTurnsIsConfirmedByTheNumberOfAllItsClusters(t *testing.T) {
	t.Parallel()
	f := prunedByTurns(t)
	_, err := f.unplace(false, proto.Uint32(1))
	wantCode(t, err, codes.FailedPrecondition, "1 clusters were confirmed and the change concerns 3")
	if got, err := f.unplace(false, proto.Uint32(3)); err != nil || got.GetClusters() != 3 {
		t.Fatal(got, err)
	}
	f.losesIn("canary-1 prod-1 prod-2", "", "")
}

func TestWhatEndsBehindAPruneThatIsHeldHasToBeConfirmedToo(t *testing.T) {
	t.Parallel()
	f := prunedByTurns(t)
	f.apply(clusterYAML("prod-2", "dev")) // nobody confirms it: its spoke holds the prune
	f.roll()
	got, err := f.unplace(true, nil)
	if err != nil || !got.GetDeletes() || got.GetClusters() != 2 {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := f.unplace(false, proto.Uint32(2)); err != nil {
		t.Fatal(err)
	}
	f.losesIn("canary-1 prod-1", "prod-2", "")
}

func TestWhatWasConfirmedCoversNoClusterThatIsLeftOutLater(t *testing.T) {
	t.Parallel()
	f := prunedByTurns(t)
	if _, err := f.change(prunedOn("canary"), false, proto.Uint32(2)); err != nil {
		t.Fatal(err)
	}
	f.roll()
	f.apply(clusterYAML("canary-1", "dev"))
	f.losesIn("prod-1 prod-2", "canary-1", "")
}

// Nor one that is chosen again before its turn has come, and left out once more.
func TestWhatWasConfirmedIsVoidWhereTheAppStays(t *testing.T) {
	t.Parallel()
	f := prunedByTurns(t)
	if _, err := f.change(prunedOn("canary"), false, proto.Uint32(2)); err != nil {
		t.Fatal(err)
	}
	f.roll()
	f.apply(placementYAML("app", prunedEverywhere))
	f.apply(prunedOn("canary"))
	f.losesIn("prod-1", "prod-2", "canary-1")
}

func TestWhatWaitsToBePrunedCountsForTheChangeThatHasItPruned(t *testing.T) {
	t.Parallel()
	f := prunedByTurns(t)
	if _, err := f.change(prunedOn("canary"), false, proto.Uint32(2)); err != nil {
		t.Fatal(err)
	}
	f.roll()
	if got, err := f.change(strings.Replace(ksYAML, `"prune":true`, `"prune":true,"suspend":true`, 1), true, nil); err != nil || got.GetDeletes() {
		t.Errorf("suspending the App: %v, %v", got, err)
	}
	if got, err := f.change(clusterYAML("prod-2", "dev"), true, nil); err != nil || got.GetDeletes() {
		t.Errorf("another label of one that waits: %v, %v", got, err)
	}
	if got, err := f.unplace(true, nil); err != nil || !got.GetDeletes() || got.GetClusters() != 1 {
		t.Errorf("deleting the Placement: %v, %v", got, err)
	}
	atOnce := strings.Replace(prunedOn("canary"), `,"rolloutPolicyRef":{"name":"prod"}`, "", 1)
	if got, err := f.change(atOnce, true, nil); err != nil || !got.GetDeletes() || got.GetClusters() != 1 {
		t.Errorf("having them deleted at once: %v, %v", got, err)
	}
	got, err := f.objects.Delete(f.ctx, &adminv1.DeleteRequest{Kind: "Kustomization", Namespace: "apps", Name: "app", DryRun: true})
	if err != nil || got.GetImpact().GetClusters() != 2 {
		t.Errorf("deleting the App: %v, %v", got, err)
	}
}

func TestPruneThatWaitsForTheEndOfAFreezeIsConfirmedWithTheChange(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.running()
	if _, err := b.rollouts.Freeze(b.ctx, &adminv1.FreezeRequest{Reason: "night"}); err != nil {
		t.Fatal(err)
	}
	resp, err := b.objects.Apply(b.ctx, &adminv1.ApplyRequest{Object: []byte(clusterYAML("prod-1", "dev")), DryRun: true})
	if got := resp.GetImpact(); err != nil || !got.GetDeletes() || got.GetClusters() != 1 {
		t.Errorf("%v, %v", got, err)
	}
}
