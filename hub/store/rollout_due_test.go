package store_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
)

// A look is at the Apps about which something changed, and at those that are due; else at none.
func TestAppIsLookedAtWhenWhatItsRolloutsLookAtChanges(t *testing.T) {
	t.Parallel()
	f := newRolledOut(t, canaryFirst, "canary-1", "prod-1")
	f.push("one")
	f.settle(rollout.Succeeded)
	var since fleet.Horizon
	look := func() []fleet.Key {
		t.Helper()
		apps, next, err := f.AppsChanged(t.Context(), since)
		if err != nil {
			t.Fatal(err)
		}
		since = next
		return apps
	}
	settled := func() {
		t.Helper()
		for range 5 {
			f.step()
		}
		since = f.quiet(since)
	}
	for _, change := range []struct {
		what string
		do   func()
	}{
		{"the fleet is frozen", func() { f.freeze("r") }},
		{"the fleet is not frozen any more", func() { f.unfreeze() }},
		{"a cluster is frozen", func() { f.freeze("r", "prod-1") }},
		{"a cluster is not frozen any more", func() { f.unfreeze("prod-1") }},
		{"the policy is another", func() { f.apply(policyYAML(strings.Replace(canaryFirst, "100%", "50%", 1))) }},
		{"a cluster leaves", func() { f.must(f.CloseSession(t.Context(), f.spokes["prod-1"].session)) }},
		{"a cluster connects", func() { f.spokes["prod-1"] = &simulated{session: f.connect("prod-1", fleet.StateID{})} }},
		{"it is due", func() { f.sql(`UPDATE rollout_track SET due = now()`) }},
	} {
		settled()
		change.do()
		if apps := look(); !slices.Contains(apps, appKey) {
			t.Errorf("%s: looked at %v", change.what, apps)
		}
		if change.what == "it is due" {
			break
		}
	}
	due, err := f.NextDue(t.Context())
	if err != nil || due.IsZero() || time.Since(due) > time.Hour {
		t.Errorf("due %s, error %v", due, err)
	}
	f.step()
	if due, err := f.NextDue(t.Context()); err != nil || !due.IsZero() {
		t.Errorf("after a step that waits for nothing, due %s, error %v", due, err)
	}
}

// A cluster that connects or leaves concerns the Apps that it has, is to have, or gets in a Rollout under way: no others.
func TestClusterThatConnectsOrLeavesConcernsTheAppsOfItAlone(t *testing.T) {
	t.Parallel()
	f := newRolledOut(t, canaryFirst, "canary-1", "prod-1")
	f.push("one")
	f.settle(rollout.Succeeded)
	const by = `"selector":{"matchExpressions":[{"key":"tier","operator":"NotIn","values":["prod"]}]}`
	for name, choice := range map[string]string{"elsewhere": `"names":["canary-1"]`, "unlike": by, "to-come": `"names":["prod-1"]`, "in-turn": `"names":["canary-1"]`} {
		f.apply(strings.ReplaceAll(ksYAML, `"name":"app","namespace"`, `"name":"`+name+`","namespace"`))
		f.apply(strings.ReplaceAll(placementYAML(`{"apps":[{"kind":"Kustomization","name":"`+name+`"}],"clusters":{`+choice+`},"rolloutPolicyRef":{"name":"prod"}}`),
			`"name":"app","namespace"`, `"name":"`+name+`","namespace"`))
		f.sql(`INSERT INTO rollout_track (app, track, releases, stepped) VALUES ('hub/Kustomization/apps/` + name + `', '{}', '{}', now())`)
	}
	f.sql(`INSERT INTO rollout (id, app, kind, target, phase, policy, actor, version, created_at)
			SELECT 'in-turn', 'hub/Kustomization/apps/in-turn', kind, target, 'Running', policy, actor, 1, now() FROM rollout LIMIT 1`,
		`INSERT INTO rollout_member (rollout, cluster, name, wave, turn, phase) SELECT 'in-turn', id, name, 0, 0, 'Pending' FROM cluster WHERE name = 'prod-1'`)
	f.step()
	for _, change := range []struct {
		what string
		do   func()
	}{
		{"leaves", func() { f.must(f.CloseSession(t.Context(), f.spokes["prod-1"].session)) }},
		{"connects", func() { f.spokes["prod-1"] = &simulated{session: f.connect("prod-1", fleet.StateID{})} }},
	} {
		since := f.quiet(0)
		change.do()
		apps, _, err := f.AppsChanged(t.Context(), since)
		var names []string
		for _, app := range apps {
			names = append(names, app.Name)
		}
		slices.Sort(names)
		if got := strings.Join(names, " "); err != nil || got != "app in-turn to-come" {
			t.Errorf("prod-1 %s: looked at %s, error %v", change.what, got, err)
		}
	}
}

func (f *rolledOut) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// sql changes the database beside the store.
func (f *rolledOut) sql(statements ...string) {
	f.t.Helper()
	commit(f.t, f.begin(statements...))
}

func TestPolicyOfOthersConcernsOnlyThem(t *testing.T) {
	t.Parallel()
	f := newRolledOut(t, canaryFirst, "prod-1")
	f.push("one")
	f.settle(rollout.Succeeded)
	f.step()
	since := f.quiet(0)
	f.apply(strings.Replace(policyYAML(canaryFirst), `"prod"`, `"other"`, 1))
	if apps, _, err := f.AppsChanged(t.Context(), since); err != nil || len(apps) != 0 {
		t.Errorf("looked at %v, error %v", apps, err)
	}
}

// count counts rows.
func (f *rolledOut) count(from string) (n int) {
	f.t.Helper()
	tx := f.begin()
	defer commit(f.t, tx)
	if err := tx.QueryRow(f.t.Context(), `SELECT count(*) FROM `+from).Scan(&n); err != nil {
		f.t.Fatal(err)
	}
	return n
}

func TestAStepThatChangesNothingTellsNobody(t *testing.T) {
	t.Parallel()
	f := newRolledOut(t, canaryFirst, "canary-1", "prod-1")
	f.push("one")
	f.settle(rollout.Succeeded)
	f.step()
	f.step()
	before := f.count(`outbox`)
	f.sql(`UPDATE rollout_track SET due = now()`)
	f.step()
	if after := f.count(`outbox`); after != before {
		t.Errorf("%d topics are published", after-before)
	}
	if due, err := f.NextDue(t.Context()); err != nil || !due.IsZero() {
		t.Errorf("it is due at %s, error %v", due, err)
	}
}

// What is known of an App outlives it for as long as a cluster has it, and is no reason to look at it without end.
func TestAppThatIsGoneIsNotDue(t *testing.T) {
	t.Parallel()
	f := newRolledOut(t, canaryFirst, "canary-1", "prod-1")
	f.push("one")
	f.settle(rollout.Succeeded)
	f.push("two")
	f.step()
	for _, gone := range []resource.Deletion{{Kind: "Placement", Namespace: "apps", Name: "app"}, {Kind: "Kustomization", Namespace: "apps", Name: "app"}} {
		if _, err := f.DeleteObject(t.Context(), admin, gone); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			f.step()
			f.say()
		}
		f.sql(`UPDATE rollout_track SET due = now()`)
		f.step()
		if due, err := f.NextDue(t.Context()); err != nil || !due.IsZero() {
			t.Errorf("without %s it is due at %s, error %v", gone.Kind, due, err)
		}
	}
	if r, err := f.Rollout(t.Context(), appKey, ""); err != nil || r.Phase != rollout.Cancelled {
		t.Errorf("the Rollout is %s, error %v", r.Phase, err)
	}
}
