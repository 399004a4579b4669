package store_test

import (
	"slices"
	"testing"
	"time"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
)

// loaded is what a step is decided on, once it has decided what it would.
func (f *rolledOut) loaded() (state rollout.State) {
	f.t.Helper()
	if _, err := f.Roll(f.t.Context(), appKey, func(s rollout.State) rollout.Step {
		state = s
		return rollout.Next(s)
	}); err != nil {
		f.t.Fatal(err)
	}
	return state
}

// rowOf is the row of a cluster, by id.
func rowOf(s rollout.State, id string) *rollout.Row {
	return &s.Rows[slices.IndexFunc(s.Clusters, func(c rollout.Cluster) bool { return c.ID == id })]
}

func TestEachClusterIsReadWithTheRowThatIsItsOwn(t *testing.T) {
	t.Parallel()
	f := newRolledOut(t, canaryFirst, "canary-1", "prod-1", "prod-2", "prod-3", "prod-4", "prod-5")
	f.push("one")
	f.settle(rollout.Succeeded)
	given := f.instances()
	f.sql(`UPDATE object SET deleted_at = now() WHERE kind = 'Cluster' AND name IN ('prod-2', 'prod-4')`)
	f.join("prod-6")
	state := f.loaded()
	for i, c := range state.Clusters {
		row := state.Rows[i]
		switch has := row.Assignment != nil; {
		case has != (c.Name != "prod-6"):
			t.Errorf("%s: row %+v", c.Name, row)
		case has && (row.Release != given[c.Name].Assignment.Release.Digest() || row.Assignment.Generation != given[c.Name].Assignment.Generation || row.Report == nil):
			t.Errorf("%s: row %+v with %+v, not %+v", c.Name, row, row.Assignment, given[c.Name].Assignment)
		}
	}
	if len(state.Clusters) != 5 || len(state.Rows) != 5 {
		t.Errorf("%d clusters with %d rows", len(state.Clusters), len(state.Rows))
	}
	if a, b := rowOf(state, f.spokes["prod-1"].session.Cluster).Assignment, rowOf(state, f.spokes["prod-3"].session.Cluster).Assignment; a != b {
		t.Error("what two clusters were given alike is decoded twice")
	}
}

func TestWhatASpokeSaysOfItsObjectsIsReadAsItIs(t *testing.T) {
	t.Parallel()
	f := newRolledOut(t, canaryFirst, "canary-1")
	f.push("one")
	f.settle(rollout.Succeeded)
	a := f.instances()["canary-1"].Assignment
	id := f.spokes["canary-1"].session.Cluster
	for what, test := range map[string]struct {
		change func(*fleet.Report)
		failed bool
		says   string
	}{
		"all is well": {func(r *fleet.Report) { r.Ready.Message = "all is well" }, false, "all is well"},
		"an object has failed": {func(r *fleet.Report) {
			r.Stage, r.Converged, r.Available = fleet.StageFailed, false, false
			r.Healthy = fleet.Condition{Status: fleet.False, Message: "CrashLoopBackOff"}
		}, true, "CrashLoopBackOff"},
		"they are too late": {func(r *fleet.Report) {
			r.Stage, r.Converged, r.Healthy.Status = fleet.StageFailed, false, fleet.Unknown
			r.Ready = fleet.Condition{Status: fleet.False, Reason: fleet.ReasonHealthCheckFailed, Message: "not healthy within 5m"}
		}, true, "not healthy within 5m"},
		"they were, and are well by now": {func(r *fleet.Report) {
			r.Stage, r.Converged = fleet.StageFailed, false
			r.Ready = fleet.Condition{Status: fleet.False, Reason: fleet.ReasonHealthCheckFailed, Message: "not healthy within 5m"}
		}, false, "not healthy within 5m"},
		"they are on their way": {func(r *fleet.Report) {
			r.Stage, r.Converged, r.Healthy.Status = fleet.StageVerifying, false, fleet.Unknown
		}, false, ""},
		"those of the Release before have": {func(r *fleet.Report) {
			r.Stage, r.Converged, r.Applied, r.Healthy.Status = fleet.StageFailed, false, fleet.DigestOf([]byte("before")), fleet.False
			r.Ready = fleet.Condition{Status: fleet.False, Reason: fleet.ReasonFailed, Message: "forbidden"}
		}, false, "forbidden"},
	} {
		r := f.word(a)
		test.change(&r)
		f.report("canary-1", r)
		if got := rowOf(f.loaded(), id).Report; got == nil || got.Failed != test.failed || got.Message != test.says || got.Release != a.Release.Digest() || got.Converged != r.Converged {
			t.Errorf("%s: %+v", what, got)
		}
	}
	f.sql(`UPDATE cluster SET epoch = epoch + 1`)
	if got := rowOf(f.loaded(), id).Report; got != nil {
		t.Errorf("of an epoch before: %+v", got)
	}
}

func TestTimeGoesBackBetweenNoTwoSteps(t *testing.T) {
	t.Parallel()
	f := newRolledOut(t, canaryFirst, "canary-1")
	f.push("one")
	f.settle(rollout.Succeeded)
	f.sql(`UPDATE rollout_track SET stepped = now() + interval '1 hour'`) // by a clock that was set back since
	if now := f.loaded().Now; time.Until(now) < 50*time.Minute {
		t.Errorf("it is %s again", now)
	}
}

func TestATimeInWhichNoHubLookedIsToldOnceAndSinceTheLastStepOnly(t *testing.T) {
	t.Parallel()
	f := newRolledOut(t, canaryFirst, "canary-1")
	f.push("one")
	f.settle(rollout.Succeeded)
	f.must(f.Looked(t.Context()))
	f.must(f.Looked(t.Context()))
	if n := f.count(`outage`); n != 0 {
		t.Fatalf("%d outages though a hub looks", n)
	}
	for stepped, want := range map[string]time.Duration{"4 hours": 2 * time.Hour, "1 hour": time.Hour} {
		f.sql(`DELETE FROM outage`, `UPDATE looked SET at = now() - interval '2 hours'`, `UPDATE rollout_track SET due = now(), stepped = now() - interval '`+stepped+`'`)
		f.must(f.Looked(t.Context()))
		if n := f.count(`outage`); n != 1 {
			t.Errorf("%d outages are noted", n)
		}
		if away := f.loaded().Away; away < want || away > want+10*time.Minute {
			t.Errorf("stepped %s ago, and no hub looked for two: %s", stepped, away)
		}
		f.sql(`UPDATE rollout_track SET stepped = now()`)
		if away := f.loaded().Away; away != 0 {
			t.Errorf("told again: %s", away)
		}
	}
}

func TestAPolicyThatWasDeletedIsNone(t *testing.T) {
	t.Parallel()
	f := newRolledOut(t, canaryFirst, "canary-1")
	f.apply(placementYAML(`{"apps":[{"kind":"Kustomization","name":"app"}],"clusters":{"selector":{}}}`))
	if _, err := f.DeleteObject(t.Context(), admin, resource.Deletion{Kind: "RolloutPolicy", Name: "prod"}); err != nil {
		t.Fatal(err)
	}
	f.apply(placementYAML(managedEverywhere))
	f.push("one")
	if s := f.loaded(); !s.Managed || s.Policy != nil {
		t.Errorf("managed %t, by %+v", s.Managed, s.Policy)
	}
}
