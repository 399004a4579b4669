package store_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/hub/store"
	"flotilla.dev/flotilla/pkg/fleet"
)

// rolledOut is an App under a RolloutPolicy, whose clusters have spokes that do what they are told.
type rolledOut struct {
	*bundle
	spokes map[string]*simulated
	// bad are Releases that no cluster gets to work.
	bad map[fleet.Digest]bool
}

// simulated is a spoke's session.
type simulated struct {
	session  fleet.Session
	sequence uint64
}

func policyYAML(spec string) string {
	return `{"apiVersion":"fleet.flotilla.dev/v1alpha1","kind":"RolloutPolicy","metadata":{"name":"prod"},"spec":` + spec + `}`
}

// canaryFirst is a policy of two waves.
const canaryFirst = `{"waves":[{"name":"canary","select":{"matchLabels":{"tier":"canary"}}},{"name":"rest","maxConcurrent":"100%"}],"maxUnavailable":"100%","catchUp":{"maxConcurrent":"100%"}}`

const managedEverywhere = `{"apps":[{"kind":"Kustomization","name":"app"}],"clusters":{"selector":{}},"rolloutPolicyRef":{"name":"prod"}}`

// newRolledOut has clusters of those names, of which canary-... are in the tier of that name, under a policy.
func newRolledOut(t *testing.T, policy string, clusters ...string) *rolledOut {
	t.Helper()
	f := &rolledOut{bundle: newBundle(t), spokes: map[string]*simulated{}, bad: map[fleet.Digest]bool{}}
	f.apply(policyYAML(policy))
	f.apply(gitYAML)
	f.apply(ksYAML)
	f.apply(placementYAML(managedEverywhere))
	for _, name := range clusters {
		f.join(name)
	}
	return f
}

// join declares a cluster and connects its spoke.
func (f *rolledOut) join(name string) {
	f.t.Helper()
	tier := "prod"
	if len(name) > 6 && name[:6] == "canary" {
		tier = "canary"
	}
	f.apply(clusterYAML(name, tier))
	f.spokes[name] = &simulated{session: f.connect(name, fleet.StateID{})}
}

// say stores what the spoke of each connected cluster has to say of what it is assigned.
func (f *rolledOut) say() {
	f.t.Helper()
	for name, i := range f.instances() {
		if spoke := f.spokes[name]; spoke != nil {
			f.report(name, f.word(i.Assignment))
		}
	}
}

// word is what a spoke says once it has acted on an Assignment.
func (f *rolledOut) word(a fleet.Assignment) fleet.Report {
	release := a.Release.Digest()
	r := fleet.Report{
		App: a.App, Epoch: 1, Generation: a.Generation, Release: release, Applied: release, Stage: fleet.StageSettled, Waiting: fleet.WaitingNone,
		Converged: true, Available: true, Ready: fleet.Condition{Status: fleet.True}, Healthy: fleet.Condition{Status: fleet.True}, ObservedAt: time.Now(),
	}
	switch {
	case a.State == fleet.Removed:
		r.Stage = fleet.StageRemoved
	case f.bad[release]:
		r.Stage, r.Converged, r.Available, r.Terminal = fleet.StageFailed, false, false, true
		r.Ready = fleet.Condition{Status: fleet.False, Message: "it is refused"}
	}
	return r
}

func (f *rolledOut) report(name string, r fleet.Report) {
	f.t.Helper()
	spoke := f.spokes[name]
	spoke.sequence++
	batch := fleet.ReportBatch{Session: spoke.session.Number, Sequence: spoke.sequence, Reports: []fleet.Report{r}}
	if err := f.StoreReports(f.t.Context(), spoke.session.Cluster, batch); err != nil {
		f.t.Fatal(err)
	}
}

// settle has the hub step and spokes report until the App's newest Rollout is in one of those phases. It returns it.
func (f *rolledOut) settle(phases ...rollout.Phase) rollout.Rollout {
	f.t.Helper()
	var last rollout.Rollout
	for range 40 {
		f.step()
		found, err := f.Rollouts(f.t.Context(), store.RolloutQuery{App: appKey, Limit: 1})
		if err != nil {
			f.t.Fatal(err)
		}
		if len(found) > 0 {
			if last = found[0]; slices.Contains(phases, last.Phase) {
				return last
			}
		}
		f.say()
	}
	f.t.Fatalf("the newest Rollout is %s of %s (%s: %s), none of %v", last.ID, last.Target, last.Phase, last.Message, phases)
	return last
}

func (f *rolledOut) step() {
	f.t.Helper()
	if _, err := f.Roll(f.t.Context(), appKey, rollout.Next); err != nil {
		f.t.Fatal(err)
	}
}

// push is a new Release of the App.
func (f *rolledOut) push(text string) fleet.Release {
	f.t.Helper()
	return f.release(fmt.Sprintf("main@sha1:%s", text), text)
}

// runs are the Releases that clusters are assigned, by name.
func (f *rolledOut) runs() map[string]fleet.Digest {
	f.t.Helper()
	got := map[string]fleet.Digest{}
	for name, i := range f.instances() {
		if i.Assignment.State == fleet.Active {
			got[name] = i.Assignment.Release.Digest()
		}
	}
	return got
}
