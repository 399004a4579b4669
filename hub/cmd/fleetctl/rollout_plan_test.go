package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"flotilla.dev/flotilla/pkg/fleet"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// testPlan is what would begin.
func testPlan() *adminv1.PlanRolloutResponse {
	ro := testRollout()
	ro.Id, ro.Phase, ro.Reason, ro.Message, ro.Wave, ro.Started = "ro-9ccc", phaseRunning, "", "", 0, nil
	ro.Totals = &adminv1.RolloutTotals{Size: 9, Pending: 9}
	for _, w := range ro.GetWaves() {
		w.Phase, w.Totals = "Pending", &adminv1.RolloutTotals{Size: w.GetSize(), Pending: w.GetSize()}
	}
	members := testMembers()
	for _, m := range members {
		m.WaitsFor = ""
	}
	members[3].WaitsFor = "is not connected"
	least := []*durationpb.Duration{durationpb.New(5 * time.Minute), durationpb.New(0), durationpb.New(14*time.Hour + 90*time.Second)}
	return &adminv1.PlanRolloutResponse{Rollout: ro, Clusters: members, Least: least}
}

// begun are the starts that were no dry runs.
func begun(b *bundle) (starts []*adminv1.StartRolloutRequest) {
	for _, r := range requestsOf[*adminv1.StartRolloutRequest](b.hub) {
		if !r.GetApp().GetDryRun() {
			starts = append(starts, r)
		}
	}
	return starts
}

// The refusals of a start.
var (
	errBadRelease = fmt.Errorf("%w: Release sha256:9f3c of ks/app has failed before: --allow-bad starts it all the same", fleet.ErrConflict)
	errInTheWay   = fmt.Errorf("%w: rollout ro-7k2f: it is under way: wait for it, cancel it, or take its place with --supersede", fleet.ErrConflict)
	errOnItsWay   = fmt.Errorf("%w: rollout ro-7k2f: it is on its way back: wait for it", fleet.ErrConflict)
)

// refusing has starts refused for the lack of what is to be given.
func refusing(b *bundle, bad, other bool) {
	b.hub.rolled.refuses = func(r *adminv1.StartRolloutRequest) error {
		switch {
		case other && !r.GetSupersede():
			return errInTheWay
		case bad && !r.GetAllowBad():
			return errBadRelease
		}
		return nil
	}
}

func TestPlanSaysWhatBeginsItOrWhyNothingDoes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name       string
		bad, other bool
		want       string
	}{
		{"nothing in the way", false, false, "► to begin exactly this: fleetctl rollout start ks/app -n apps --expected-plan " + planDigest},
		{"a bad release", true, false, "► to begin exactly this: fleetctl rollout start ks/app -n apps --allow-bad --expected-plan " + planDigest},
		{"another one under way", false, true, "► to begin exactly this: fleetctl rollout start ks/app -n apps --supersede --expected-plan " + planDigest},
		{"both", true, true, "► to begin exactly this: fleetctl rollout start ks/app -n apps --allow-bad --supersede --expected-plan " + planDigest},
	} {
		b := newRolling(t)
		b.hub.rolled.plan = testPlan()
		refusing(b, test.bad, test.other)
		want(t, test.name, b.ok("rollout", "plan", "ks/app").stderr, test.want)
	}
	b := newRolling(t)
	b.hub.rolled.plan = testPlan()
	b.hub.rolled.refuses = func(*adminv1.StartRolloutRequest) error { return errOnItsWay }
	want(t, "on its way back", b.ok("rollout", "plan", "ks/app").stderr, "⚠ it cannot begin now: rollout ro-7k2f: it is on its way back: wait for it")
	b.hub.rolled.refuses = nil
	b.hub.rolled.plan.Rollout.Id = "ro-7k2f"
	want(t, "under way", b.ok("rollout", "plan", "ks/app").stderr, "► it is under way already: fleetctl rollout status ro-7k2f")
}

func TestRolloutStartAsksNobodyWhatTheHubRefuses(t *testing.T) {
	t.Parallel()
	b := newRolling(t)
	b.hub.rolled.plan = testPlan()
	b.tty, b.stdin = true, "yes\n"
	for _, test := range []struct {
		bad, other bool
		next       string
	}{{true, false, "try: fleetctl rollout start ks/app -n apps --allow-bad"}, {false, true, "try: fleetctl rollout start ks/app -n apps --supersede"}} {
		refusing(b, test.bad, test.other)
		r := b.fails(exitPrecondition, []string{test.next}, "rollout", "start", "ks/app")
		if strings.Contains(r.stderr, "Type yes") {
			t.Errorf("asked:\n%s", r.stderr)
		}
	}
	refusing(b, true, true)
	b.fails(exitPrecondition, []string{"try: fleetctl rollout start ks/app -n apps --allow-bad --supersede"}, "rollout", "start", "ks/app", "--supersede")
	b.ok("rollout", "start", "ks/app", "--supersede", "--allow-bad")
	if n := len(begun(b)); n != 1 {
		t.Errorf("%d were begun", n)
	}
}

func TestRolloutStartOfWhatIsUnderWayStartsNothingAndSaysSo(t *testing.T) {
	t.Parallel()
	b := newRolling(t)
	b.hub.rolled.plan = testPlan()
	b.hub.rolled.plan.Rollout.Id = "ro-7k2f"
	for _, args := range []string{"", "-y", "--expected-plan " + planDigest} {
		r := b.ok(append([]string{"rollout", "start", "ks/app"}, strings.Fields(args)...)...)
		want(t, "stdout", r.stdout, rolloutType+"/ro-7k2f is under way already")
	}
}

func TestRolloutStartThatIsOverAtOnceIsNoRequestThatWasMadeBefore(t *testing.T) {
	t.Parallel()
	const started, already = " started", " was started by this request already"
	waiting := func(ro *adminv1.Rollout) { ro.Id, ro.Phase, ro.Started = "ro-9ccc", phaseQueued, nil }
	ended := func(ro *adminv1.Rollout) { ro.Id, ro.Phase = "ro-9ccc", phaseSucceeded }
	begins := func(ro *adminv1.Rollout) { ro.Started = at(1) }
	dropped := func(ro *adminv1.Rollout) { ro.Phase, ro.Started = phaseCancelled, nil }
	for _, test := range []struct {
		name, args    string
		before, begun func(*adminv1.Rollout)
		want          string
	}{
		{"begun", "", nil, begins, started},
		{"begun by a request", "--request-id one", nil, begins, started},
		{"the first of all", "--request-id one", nil, begins, started},
		{"what waited to be started", "--request-id one", waiting, begins, started},
		{"the same request", "--request-id one", ended, func(ro *adminv1.Rollout) { ro.Started = at(-20) }, already},
		{"the same request, and another one since", "--request-id one", nil, func(ro *adminv1.Rollout) { ro.Started = at(-40) }, already},
		{"the same request, which never began", "--request-id one", nil, dropped, already},
	} {
		b := newRolling(t)
		switch {
		case test.before != nil:
			test.before(b.hub.rolled.rollouts[0])
		case test.name == "the first of all":
			b.hub.rolled.rollouts = nil
		}
		b.hub.rolled.plan = testPlan()
		b.hub.rolled.plan.Rollout.Phase = phaseSucceeded
		test.begun(b.hub.rolled.plan.Rollout)
		want(t, test.name, b.ok(append([]string{"rollout", "start", "ks/app", "-y"}, strings.Fields(test.args)...)...).stdout, rolloutType+"/ro-9ccc"+test.want)
	}
}

func TestRolloutPlanShowsWavesBudgetsGatesAndWhatIsLeftOut(t *testing.T) {
	t.Parallel()
	b := newRolling(t)
	b.hub.rolled.plan = testPlan()
	r := b.ok("rollout", "plan", "ks/app")
	want(t, "stdout", r.stdout, `
App:        ks/app -n apps
Release:    main@sha1:696f056d (sha256:9f3c1a2b)
Plan:       `+planDigest+`
Clusters:   9 in 3 waves; at most 2 without service at a time
Takes:      at least 14h6m, and until approved: prod-go of wave eu
A cluster:  has 10m, and 1 more try
On failure: roll back (Updated), 100% at a time
Windows:    "0 8 * * 1-5" Europe/London for 8h
WAVE   NAME     CLUSTERS   AT A TIME   MAY FAIL   NEEDED   BEFORE       AFTER                           AT LEAST   WHICH
1      canary   1          1           0          1        -            soak 5m                         5m         canary-1
2      eu       5          2           1          3        -            approval prod-go by group:sre   -          eu-1 eu-2 eu-3 and 2 more; 1 not now
3      rest     3          1           0          2        soak 1m30s   -                               14h1m      us-1 us-2 us-3
NOT TARGETED  1 cluster
  lab-1: its labels do not match`)
	want(t, "stderr", r.stderr, "► to begin exactly this: fleetctl rollout start ks/app -n apps --expected-plan "+planDigest)
	wantTexts(t, "wide", b.ok("rollout", "plan", "ks/app", "-o", "wide").stdout, "us-3", "is not connected")
	if d := parseJSON(t, b.ok("rollout", "plan", "ks/app", "-o", "json").stdout); d["planDigest"] != planDigest || len(d["clusters"].([]any)) != 9 {
		t.Errorf("-o json gives %v", d)
	}
	if d := parseJSON(t, b.ok("rollout", "plan", "ks/app", "-o", "json").stdout); d["waves"].([]any)[0].(map[string]any)["takesAtLeast"] != "5m0s" {
		t.Errorf("-o json gives %v", d["waves"])
	}
	b.hub.rolled.plan.Least = nil // no window opens any more, or the hub does not tell
	wantTexts(t, "stdout", b.ok("rollout", "plan", "ks/app").stdout, "\nTakes:      until approved: prod-go of wave eu\n")
	if n := len(begun(b)); n > 0 {
		t.Errorf("a plan has begun %d rollouts", n)
	}
}

const policyYAML = `
apiVersion: fleet.flotilla.dev/v1alpha1
kind: RolloutPolicy
metadata: {name: prod}
spec: {waves: [{name: canary, limit: 1}, {name: rest, maxConcurrent: 25%}]}
`

func TestRolloutPlanTakesAPolicyFromAFile(t *testing.T) {
	t.Parallel()
	b := newRolling(t)
	b.hub.rolled.plan = testPlan()
	r := b.ok("rollout", "plan", "ks/app", "-f", b.write("policy.yaml", policyYAML))
	if strings.Contains(r.stderr, "rollout start") {
		t.Errorf("the policy is not declared, and start is said to take it:\n%s", r.stderr)
	}
	if sent := string(requestsOf[*adminv1.PlanRolloutRequest](b.hub)[0].GetPolicy()); sent != `{"waves":[{"limit":1,"name":"canary"},{"maxConcurrent":"25%","name":"rest"}]}` {
		t.Errorf("sent %s", sent)
	}
	b.fails(exitUsage, []string{"spec.waves[1].maxConcurrent"}, "rollout", "plan", "ks/app", "-f", b.write("zero.yaml", strings.Replace(policyYAML, "25%", "0", 1)))
	b.fails(exitUsage, []string{"which is no RolloutPolicy"}, "rollout", "plan", "ks/app", "-f", b.write("app.yaml", gitApp[:strings.Index(gitApp, "status:")]))
	b.fails(exitUsage, []string{"nowhere.yaml"}, "rollout", "plan", "ks/app", "-f", b.dir+"/nowhere.yaml")
}

func TestRolloutStartShowsThePlanAndBeginsThatOne(t *testing.T) {
	t.Parallel()
	b := newRolling(t)
	b.hub.rolled.plan = testPlan()
	b.fails(exitUsage, []string{"this has to be confirmed", "ks/app goes to main@sha1:696f056d (sha256:9f3c1a2b) in 9 clusters, in 3 waves", "wave 2 eu: 5 clusters, 2 at a time", "try: -y"}, "rollout", "start", "ks/app")
	if n := len(begun(b)); n > 0 {
		t.Errorf("begun without a yes")
	}
	b.tty, b.stdin = true, "no\n"
	b.fails(exitUsage, []string{"Type yes to go on: ", "not confirmed"}, "rollout", "start", "ks/app")
	b.stdin = "yes\n"
	want(t, "stdout", b.ok("rollout", "start", "ks/app").stdout, rolloutType+"/ro-9ccc started")
	b.tty = false
	b.ok("rollout", "start", "ks/app", "-y", "--revision", "v1", "--allow-bad", "--supersede", "--reason", "again", "--request-id", "one")
	requests := begun(b)
	first, second := requests[0], requests[1]
	if first.GetExpectedPlanDigest() != planDigest || first.GetRequestId() == "" {
		t.Errorf("sent %v", first)
	}
	if !second.GetAllowBad() || !second.GetSupersede() || second.GetTarget() != "v1" || second.GetRequestId() != "one" || second.GetApp().GetReason() != "again" {
		t.Errorf("sent %v", second)
	}
	other := strings.Replace(planDigest, "41ab", "52bc", 1)
	b.fails(exitPrecondition, []string{"the plan is " + planDigest + " now, not " + other}, "rollout", "start", "ks/app", "--expected-plan", other)
	for _, none := range []string{"sha256:00", "sha256:" + strings.Repeat("0", 64)} { // which would mean any
		b.fails(exitUsage, []string{"is not the digest of a plan"}, "rollout", "start", "ks/app", "--expected-plan", none)
	}
}

func TestRevisionIsMeantByTheBeginningOfItsHash(t *testing.T) {
	t.Parallel()
	b := newRolling(t)
	b.hub.rolled.plan = testPlan()
	b.hub.history = []*adminv1.HistoryEntry{{Revision: "main@sha1:696f056df216eea4"}, {Revision: "main@sha1:77aa01c4f216eea4"}, {Revision: "v2@sha1:77aa01c4f216eea4"}}
	b.ok("rollout", "start", "ks/app", "-y", "--revision", "696f056d")
	b.ok("rollout", "plan", "ks/app", "--revision", "eeee056d")
	b.ok("rollout", "rollback", "ks/app", "-y", "--to", "v2@sha1:77aa01c4f216eea4")
	b.fails(exitUsage, []string{"77aa01c4 begins several revisions of ks/app", "main@sha1:77aa01c4f216eea4\n", "v2@sha1:77aa01c4f216eea4\n"}, "rollout", "rollback", "ks/app", "-y", "--to", "77aa01c4")
	plans := requestsOf[*adminv1.PlanRolloutRequest](b.hub)
	if got := []string{
		begun(b)[0].GetTarget(), plans[0].GetTarget(), plans[1].GetTarget(), requestsOf[*adminv1.RollbackRequest](b.hub)[0].GetTo(),
	}; strings.Join(got, " ") != "main@sha1:696f056df216eea4 main@sha1:696f056df216eea4 eeee056d v2@sha1:77aa01c4f216eea4" {
		t.Errorf("sent %v", got)
	}
}

func TestRolloutStartWaitsWhereThatIsWanted(t *testing.T) {
	t.Parallel()
	b := newRolling(t)
	b.hub.rolled.plan = testPlan()
	r := b.start("rollout", "start", "ks/app", "-y", "--wait")
	r.stderr.says(t, "◎ ro-9ccc ks/app: Running")
	b.hub.changeRollout(t, "ro-9ccc", succeed)
	if code := r.wait(); code != 0 {
		t.Errorf("exit %d: %s", code, r.stderr)
	}
	want(t, "stdout", r.stdout.String(), rolloutType+"/ro-9ccc succeeded")
}

func TestInterruptAfterARolloutWasStartedSaysHowToFollowIt(t *testing.T) {
	t.Parallel()
	b := newRolling(t)
	b.hub.rolled.plan = testPlan()
	r := b.start("rollout", "start", "ks/app", "-y", "--wait")
	r.stderr.says(t, "◎ ro-9ccc")
	r.interrupt()
	if code := r.wait(); code != int(exitInterrupted) {
		t.Errorf("exit %d", code)
	}
	wantTexts(t, "stderr", r.stderr.String(), "ro-9ccc goes on at the hub; follow it with: fleetctl rollout status ro-9ccc")
	if strings.Contains(r.stderr.String(), "nothing was changed") {
		t.Errorf("stderr:\n%s", r.stderr)
	}
}

func TestPlanThatWouldNotGoForwardNowSaysWhy(t *testing.T) {
	t.Parallel()
	b := newRolling(t)
	for _, test := range []struct{ phase, reason, message, now, asked string }{
		{phaseQueued, "AwaitingStart", "its Release has failed before: only `fleetctl rollout start --allow-bad` begins it", "Now:        would not begin: AwaitingStart: its Release has failed before", "as of now: AwaitingStart: its Release has failed before"},
		{phaseRunning, "Frozen", "the fleet is frozen: year's end", "Now:        would begin, and wait: Frozen: the fleet is frozen: year's end", "as of now: Frozen: the fleet is frozen"},
		{phaseRunning, "", "ro-7k2f to sha256:9f3c is Running: this one takes its place", "Now:        would begin: ro-7k2f to sha256:9f3c is Running: this one takes its place", "as of now: ro-7k2f"},
		{phaseQueued, "AwaitingStart", "spec.autoStart of the policy is false: `fleetctl rollout start` starts it", "Now:        would not begin: AwaitingStart: spec.autoStart", ""},
	} {
		plan := testPlan()
		plan.Rollout.Phase, plan.Rollout.Reason, plan.Rollout.Message = test.phase, test.reason, test.message
		b.hub.rolled.plan = plan
		wantTexts(t, "plan", b.ok("rollout", "plan", "ks/app").stdout, test.now)
		r := b.fails(exitUsage, []string{test.asked}, "rollout", "start", "ks/app")
		if test.asked == "" && strings.Contains(r.stderr, "as of now") { // to start it is what is asked
			t.Errorf("stderr:\n%s", r.stderr)
		}
	}
}
