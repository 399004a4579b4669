package store_test

import (
	"slices"
	"strings"
	"testing"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
)

// news are the App's events that say who had them happen, as "reason cluster: message".
func (f *rolledOut) news() (lines []string) {
	f.t.Helper()
	events, _, err := f.Events(f.t.Context(), fleet.EventQuery{Kind: appKey.Kind, Namespace: appKey.Namespace, Name: appKey.Name})
	if err != nil {
		f.t.Fatal(err)
	}
	for _, e := range events {
		if strings.Contains(e.Message, "by user:") {
			lines = append(lines, strings.TrimSpace(e.Reason+" "+e.Cluster)+": "+e.Message)
		}
	}
	return lines
}

// approvedFirst begins nothing by itself, and asks for an approval before the clusters that are no canary.
const approvedFirst = `{"autoStart":false,"maxUnavailable":"100%","waves":[{"name":"canary","select":{"matchLabels":{"tier":"canary"}},"after":[{"approval":{"name":"go"}}]},` +
	`{"name":"rest","maxConcurrent":"100%","maxFailures":0}]}`

func TestWhatPeopleDoToARolloutIsToldToEveryoneWithWhoAndWhy(t *testing.T) {
	t.Parallel()
	f := newRolledOut(t, approvedFirst, "canary-1", "prod-1", "prod-2")
	one := f.push("one")
	f.step()
	id := f.act(rollout.Start{Actor: actor, Reason: "ticket 12"}).ID
	f.act(rollout.Pause{Actor: actor, Reason: "lunch"})
	f.act(rollout.Resume{Actor: actor, Reason: "back"})
	f.step()
	f.say()
	f.step()
	f.act(rollout.SkipCluster{Actor: actor, Reason: "is being rebuilt", Clusters: []string{"prod-2"}})
	f.act(rollout.Decide{Principal: "user:eve", Approve: true, Comment: "looks well"})
	f.bad[one.Digest()] = true
	f.settle(rollout.Halted)
	f.act(rollout.RetryCluster{Actor: actor, Reason: "the disk is mended", AllFailed: true})
	f.bad[one.Digest()] = false
	f.act(rollout.Resume{Actor: actor})
	f.settle(rollout.Succeeded)

	two := f.push("two")
	f.step()
	next := f.act(rollout.Start{Actor: actor}).ID
	f.step()
	f.say()
	f.step()
	f.act(rollout.SkipGate{Actor: actor, Gate: "go", Reason: "by phone"})
	f.act(rollout.Rollback{Actor: actor, Reason: "incident 4711"})
	f.settle(rollout.RolledBack)

	want := []string{
		"RolloutStarted: " + id + ", by user:admin: " + one.Digest().String() + ": 3 clusters in 2 waves; reason: ticket 12",
		"RolloutPaused: " + id + ", by user:admin: lunch",
		"RolloutRunning: " + id + ", by user:admin: back",
		"RolloutClusterSkipped prod-2: " + id + ", by user:admin: is being rebuilt",
		"RolloutApproved: " + id + ", by user:eve: wave canary: gate go: looks well",
		"RolloutClusterRetried prod-1: " + id + ", by user:admin: the disk is mended",
		"RolloutRunning: " + id + ", by user:admin",
		"RolloutStarted: " + next + ", by user:admin: " + two.Digest().String() + ": 3 clusters in 2 waves",
		"RolloutGateOverridden: " + next + ", by user:admin: wave canary: gate go: by phone",
		"RolloutRollingBack: " + next + ", by user:admin: incident 4711",
	}
	if got := f.news(); !slices.Equal(got, want) {
		t.Errorf("told\n%s\nnot\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestThatAClusterHasCaughtUpIsToldToEveryone(t *testing.T) {
	t.Parallel()
	f := newRolledOut(t, canaryFirst, "canary-1", "prod-1")
	one := f.push("one")
	id := f.settle(rollout.Succeeded).ID
	f.join("prod-2")
	f.step()
	f.say()
	f.step()
	events, _, err := f.Events(t.Context(), fleet.EventQuery{Kind: appKey.Kind, Namespace: appKey.Namespace, Name: appKey.Name})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range events {
		if e.Cluster == "prod-2" && strings.Contains(e.Reason, "Up") {
			got = append(got, e.Reason+": "+e.Message)
		}
		if e.Warning {
			t.Errorf("%s is told as a warning: %s", e.Reason, e.Message)
		}
	}
	what := ": " + id + ": " + one.Digest().String()
	if want := []string{"CatchUp" + what, "CaughtUp" + what}; !slices.Equal(got, want) {
		t.Errorf("told %q, not %q", got, want)
	}
}
