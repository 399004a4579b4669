package api_test

import (
	"strings"
	"testing"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// rolled is an App under a RolloutPolicy, on canary-1, prod-1 and prod-2, whose spokes are connected.
type rolled struct {
	*bundle
	// bad are Releases that every cluster refuses.
	bad map[fleet.Digest]bool
}

func policyYAML(name, spec string) string {
	return `{"apiVersion":"fleet.flotilla.dev/v1alpha1","kind":"RolloutPolicy","metadata":{"name":"` + name + `"},"spec":` + spec + `}`
}

// canaryFirst is a policy of two waves, between which somebody has to approve.
const canaryFirst = `{"waves":[{"name":"canary","select":{"matchLabels":{"tier":"canary"}},"after":[{"approval":{"name":"go"}}]},` +
	`{"name":"rest","maxConcurrent":"100%"}],"maxUnavailable":"100%","onFailure":{"allowUninstall":true}}`

const managedEverywhere = `{"apps":[{"kind":"Kustomization","name":"app"}],"clusters":{"selector":{"matchExpressions":[{"key":"tier","operator":"In","values":["canary","prod"]}]}},"rolloutPolicyRef":{"name":"prod"}}`

// appRollout is a request about the App's Rollout.
func appRollout() *adminv1.AppRollout {
	return &adminv1.AppRollout{Kind: "Kustomization", Namespace: "apps", Name: "app"}
}

func newRolled(t *testing.T, policy string) *rolled {
	t.Helper()
	f := &rolled{bundle: newBundle(t), bad: map[fleet.Digest]bool{}}
	for _, object := range []string{
		policyYAML("prod", policy), clusterYAML("canary-1", "canary"), clusterYAML("prod-1", "prod"), clusterYAML("prod-2", "prod"),
		clusterYAML("dev-1", "dev"), gitYAML, ksYAML, placementYAML("app", managedEverywhere),
	} {
		f.apply(object)
	}
	for _, name := range []string{"canary-1", "prod-1", "prod-2"} {
		f.connect(name)
	}
	return f
}

// connect has a cluster's spoke connected.
func (b *bundle) connect(cluster string) {
	b.t.Helper()
	statuses, err := b.ClusterStatuses(b.ctx)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.OpenSession(b.ctx, statuses[cluster].ID, fleet.StateID{}, fleet.ClusterFacts{}); err != nil {
		b.t.Fatal(err)
	}
}

// push has a Release built of that content.
func (f *rolled) push(content string) fleet.Release {
	f.t.Helper()
	if err := f.Blobs().PutWhole(f.ctx, []byte(content), nil); err != nil {
		f.t.Fatal(err)
	}
	release := fleet.Release{App: appKey, Manifest: fleet.DigestOf([]byte(content)), Prune: true}
	if _, err := f.Released(f.ctx, 1, fleet.Revision("main@sha1:"+content), release); err != nil {
		f.t.Fatal(err)
	}
	return release
}

// settle steps, and has every cluster say what became of what it is to run, until the App's newest Rollout is in a phase.
func (f *rolled) settle(phase rollout.Phase) *adminv1.Rollout {
	f.t.Helper()
	for range 30 {
		f.roll()
		resp, err := f.rollouts.GetRollout(f.ctx, &adminv1.GetRolloutRequest{App: appRollout()})
		if err != nil {
			f.t.Fatal(err)
		}
		if resp.GetRollout().GetPhase() == string(phase) {
			return resp.GetRollout()
		}
		f.say()
	}
	f.t.Fatalf("the Rollout does not come to %s: %v", phase, f.current())
	return nil
}

// approved settles to the approval, and approves.
func (f *rolled) approved() *adminv1.Rollout {
	f.t.Helper()
	f.waiting()
	if _, err := f.rollouts.DecideGate(f.ctx, &adminv1.DecideGateRequest{App: appRollout(), Approve: true}); err != nil {
		f.t.Fatal(err)
	}
	return f.settle(rollout.Succeeded)
}

// waiting settles until the approval is waited for.
func (f *rolled) waiting() *adminv1.Rollout {
	f.t.Helper()
	for range 10 {
		f.roll()
		if r := f.current(); r.GetReason() == string(rollout.ReasonWaitingGate) {
			return r
		}
		f.say()
	}
	f.t.Fatalf("no gate is waited for: %v", f.current())
	return nil
}

// say has every cluster say what became of what it is to run.
func (f *rolled) say() {
	f.t.Helper()
	instances, _, err := f.Instances(f.ctx, fleet.InstanceQuery{Kind: "Kustomization"})
	if err != nil {
		f.t.Fatal(err)
	}
	for _, i := range instances {
		f.report(i.Cluster, func(r *fleet.Report) {
			switch {
			case i.Assignment.State == fleet.Removed:
				r.Stage = fleet.StageRemoved
			case f.bad[r.Release]:
				r.Stage, r.Converged, r.Available, r.Terminal = fleet.StageFailed, false, false, true
				r.Ready = fleet.Condition{Status: fleet.False, Reason: fleet.ReasonFailed, Message: "it is refused"}
			}
		})
	}
}

// current is the App's Rollout.
func (f *rolled) current() *adminv1.Rollout {
	f.t.Helper()
	resp, err := f.rollouts.GetRollout(f.ctx, &adminv1.GetRolloutRequest{App: appRollout()})
	if err != nil {
		f.t.Fatal(err)
	}
	return resp.GetRollout()
}

// clusterPhases are the phases of the Rollout's clusters, as "canary-1=Pending prod-1=Pending".
func (f *rolled) clusterPhases() string {
	f.t.Helper()
	resp, err := f.rollouts.ListRolloutClusters(f.ctx, &adminv1.ListRolloutClustersRequest{App: appRollout()})
	if err != nil {
		f.t.Fatal(err)
	}
	var words []string
	for _, c := range resp.GetClusters() {
		words = append(words, c.GetCluster()+"="+c.GetPhase())
	}
	return strings.Join(words, " ")
}
