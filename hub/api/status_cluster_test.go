package api_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"flotilla.dev/flotilla/pkg/fleet"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

func TestStatusOfAClusterSaysAllThatIsKnownOfIt(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.running()
	statuses, err := b.ClusterStatuses(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	id := statuses["prod-1"].ID
	type counts struct{ Total, Ready, Progressing, Failed, Unknown, Suspended, Held int }
	type clusterStatus struct {
		ObservedGeneration              int64
		Conditions                      conditionList
		ClusterID                       string
		LastSeen                        *time.Time
		SpokeVersion, KubernetesVersion string
		State, AcknowledgedState        string
		Apps                            counts
		UnknownAssignments              []string
	}
	inStep := "SafeMode False HubCurrent: the hub knows the state that the spoke works from"
	var session fleet.Session
	var state fleet.StateID
	connect := func(held fleet.StateID) {
		t.Helper()
		if session, err = b.OpenSession(b.ctx, id, held, fleet.ClusterFacts{SpokeVersion: "v1.2", KubernetesVersion: "v1.36.3"}); err != nil {
			t.Fatal(err)
		}
		if _, state, _, err = b.DesiredState(b.ctx, session, fleet.StateID{}); err != nil {
			t.Fatal(err)
		}
	}
	say := func(batch fleet.ReportBatch) {
		t.Helper()
		batch.Session, batch.Sequence = session.Number, uint64(time.Now().UnixNano())
		if err := b.StoreReports(b.ctx, id, batch); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		name   string
		change func()
		want   clusterStatus
		seen   bool
	}{
		{"registered", func() {}, clusterStatus{Apps: counts{Total: 1, Unknown: 1}, Conditions: conditionList{
			"Ready Unknown NotEnrolled: no spoke has redeemed a join token yet: `fleetctl cluster register` prints one",
			"Connected False NotEnrolled: no spoke has redeemed a join token yet: `fleetctl cluster register` prints one", inStep}}, false},
		{"connected", func() { connect(fleet.StateID{}) }, clusterStatus{Apps: counts{Total: 1, Progressing: 1}, State: "1.1", AcknowledgedState: "0.0",
			SpokeVersion: "v1.2", KubernetesVersion: "v1.36.3", Conditions: conditionList{
				"Ready Unknown Progressing: 1 App in progress", "Connected True Connected: the spoke is connected", inStep}}, true},
		{"acknowledged, with an App of its own", func() {
			say(fleet.ReportBatch{Acknowledged: state, Unknown: []fleet.Key{{Home: fleet.HubHome, Kind: "Kustomization", Namespace: "apps", Name: "old"}}})
		}, clusterStatus{Apps: counts{Total: 1, Progressing: 1}, State: "1.1", AcknowledgedState: "1.1", UnknownAssignments: []string{"Kustomization/apps/old"},
			SpokeVersion: "v1.2", KubernetesVersion: "v1.36.3", Conditions: conditionList{
				"Ready Unknown Progressing: 1 App in progress", "Connected True Connected: the spoke is connected", inStep}}, true},
		{"its App is ready, and held", func() {
			b.report("prod-1", func(r *fleet.Report) { r.HeldPrune = &fleet.HeldPrune{Digest: fleet.DigestOf([]byte("set")), Count: 1} })
		}, clusterStatus{Apps: counts{Total: 1, Ready: 1, Held: 1}, State: "1.1", AcknowledgedState: "0.0", SpokeVersion: "v1", KubernetesVersion: "v1.36.3",
			Conditions: conditionList{"Ready True Ready: 1 App ready", "Connected True Connected: the spoke is connected", inStep}}, true},
		{"its App failed, suspended", func() {
			b.report("prod-1", failing(false, "no"))
			if _, err := b.apps.Suspend(b.ctx, &adminv1.SuspendRequest{Kind: "Kustomization", Namespace: "apps", Name: "app"}); err != nil {
				t.Fatal(err)
			}
			b.roll()
		}, clusterStatus{Apps: counts{Total: 1, Failed: 1, Suspended: 1}, State: "1.1", AcknowledgedState: "0.0", SpokeVersion: "v1", KubernetesVersion: "v1.36.3",
			Conditions: conditionList{"Ready False ReconciliationFailed: not ready: Kustomization/apps/app", "Connected True Connected: the spoke is connected", inStep}}, true},
		{"ahead of the hub", func() { connect(fleet.StateID{Epoch: 1, Version: 99, Digest: fleet.DigestOf([]byte("ahead"))}) },
			clusterStatus{Apps: counts{Total: 1, Failed: 1, Suspended: 1}, State: "1.1", AcknowledgedState: "0.0", SpokeVersion: "v1.2", KubernetesVersion: "v1.36.3", Conditions: conditionList{
				"Ready False SafeMode: the spoke holds state 1.99, which this hub never issued (its own is 1.1): the database is older than the spoke",
				"Connected True Connected: the spoke is connected",
				"SafeMode True HubBehind: the spoke holds state 1.99, which this hub never issued (its own is 1.1): the database is older than the spoke; nothing is sent to it until `fleetctl hub recover`"}}, true},
	} {
		step.change()
		var got clusterStatus
		b.status("Cluster", "", "prod-1", &got)
		statuses, err := b.ClusterStatuses(b.ctx)
		if err != nil {
			t.Fatal(err)
		}
		if seen := statuses["prod-1"].LastSeen; step.seen != (got.LastSeen != nil) || step.seen && !seen.Equal(*got.LastSeen) {
			t.Errorf("%s: last seen %v, stored %s", step.name, got.LastSeen, seen)
		}
		got.LastSeen = nil
		step.want.ObservedGeneration, step.want.ClusterID = 1, id
		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.name, diff)
		}
	}
	b.silence("prod-1")
	got := b.get("Cluster", "", "prod-1", "")
	want(t, got.condition("Ready"), "Unknown ClusterUnreachable last heard of at 2")
	want(t, got.condition("Connected"), "False ClusterUnreachable last heard of at 2")
}
