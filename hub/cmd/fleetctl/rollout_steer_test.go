package main

import (
	"cmp"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

func TestRolloutIsPausedAndResumed(t *testing.T) {
	t.Parallel()
	b := newRolling(t)
	b.hub.rolled.steered = func(request proto.Message, ro *adminv1.Rollout) {
		if _, pause := request.(*adminv1.PauseRolloutRequest); pause {
			ro.Phase, ro.Reason = phasePaused, "User"
			return
		}
		ro.Phase = phaseRunning
	}
	r := b.ok("rollout", "pause", "ks/app", "--reason", "incident")
	want(t, "stdout", r.stdout, rolloutType+"/ro-7k2f paused")
	want(t, "stderr", r.stderr, "► ro-7k2f of ks/app is Paused; follow it: fleetctl rollout status ro-7k2f")
	app := requestsOf[*adminv1.PauseRolloutRequest](b.hub)[0].GetApp()
	if app.GetId() != "ro-7k2f" || app.GetReason() != "incident" || app.GetVersion() != 0 || app.GetName() != "app" {
		t.Errorf("sent %v", app)
	}
	b.ok("rollout", "resume", "ro-7k2f", "--accept-coverage", "--retry-gate")
	if q := requestsOf[*adminv1.ResumeRolloutRequest](b.hub)[0]; !q.GetAcceptCoverage() || !q.GetRetryGate() {
		t.Errorf("sent %v", q)
	}
	b.fails(exitPrecondition, []string{"has changed"}, "rollout", "pause", "ks/app", "--expected-version", "3")
}

func TestWhatWasDoneBeforeIsNotSaidToBeDone(t *testing.T) {
	t.Parallel()
	b := newRolling(t)
	want(t, "resume", b.ok("rollout", "resume", "ks/app").stdout, rolloutType+"/ro-7k2f is running already")
	b.hub.changeRollout(t, "ro-7k2f", func(ro *adminv1.Rollout) { ro.Totals.Failed, ro.Totals.Deferred = 0, 0 })
	want(t, "retry", b.ok("rollout", "retry-cluster", "ks/app", "--all-failed").stdout, rolloutType+"/ro-7k2f tries again: every cluster that did not catch up; none of its own has failed")
	b.hub.rolled.steered = func(_ proto.Message, ro *adminv1.Rollout) { ro.Totals.Pending++ } // of one that failed meanwhile
	want(t, "retry", b.ok("rollout", "retry-cluster", "ks/app", "--all-failed").stdout, rolloutType+"/ro-7k2f tries again: every cluster that failed")
	b.hub.rolled.steered = nil
	want(t, "skip", b.ok("rollout", "skip-cluster", "ks/app", "--all-failed", "--all-deferred", "-y").stdout, rolloutType+"/ro-7k2f passes nobody over: no cluster is Failed or Deferred")
	b.hub.changeRollout(t, "ro-7k2f", func(ro *adminv1.Rollout) { ro.Phase, ro.Reason, ro.Message = phasePaused, "User", "incident" })
	want(t, "pause", b.ok("rollout", "pause", "ks/app", "--reason", "another").stdout, rolloutType+"/ro-7k2f is paused already: the reason that was given first stays")
	want(t, "pause", b.ok("rollout", "pause", "ks/app").stdout, rolloutType+"/ro-7k2f is paused already")
	b.hub.changeRollout(t, "ro-7k2f", func(ro *adminv1.Rollout) {
		approvalDue(ro)
		ro.Waves[1].After[0].Decisions = []*adminv1.RolloutDecision{{Principal: "user:admin", Approve: true}}
	})
	want(t, "approve", b.ok("rollout", "approve", "ks/app", "-y").stdout, rolloutType+"/ro-7k2f was approved by you already")
}

func TestRolloutThatHasNotBegunIsNotSaidToBeUnknown(t *testing.T) {
	t.Parallel()
	b := newRolling(t)
	b.hub.changeRollout(t, "ro-7k2f", func(ro *adminv1.Rollout) {
		ro.Phase, ro.Reason, ro.Message, ro.Waves = phaseQueued, "AwaitingStart", "spec.autoStart of the policy is false", nil
	})
	for _, verb := range []string{"pause", "resume", "skip-cluster", "approve", "reject", "skip-gate"} {
		args := []string{"rollout", verb, "ks/app"}
		switch verb {
		case "skip-cluster":
			args = append(args, "eu-1")
		case "skip-gate":
			args = append(args, "--reason", "x")
		}
		b.fails(exitPrecondition, []string{verb + ": ro-7k2f of ks/app is queued: it has not begun", "AwaitingStart: spec.autoStart",
			"try: fleetctl rollout start ks/app -n apps, or fleetctl rollout cancel ro-7k2f to drop it"}, args...)
	}
	b.ok("rollout", "cancel", "ks/app", "-y")
}

func TestRollbackSaysWhatItDoesAndWaitsForClustersToBeBack(t *testing.T) {
	t.Parallel()
	b := newRolling(t)
	b.hub.rolled.steered = func(_ proto.Message, ro *adminv1.Rollout) { ro.Phase, ro.Reason = phaseRollingBack, "User" }
	b.fails(exitUsage, []string{"ro-7k2f of ks/app, Running in wave 2/3 eu, 2/9 clusters updated, is taken back: clusters go to what each had before"}, "rollout", "rollback", "ks/app")
	r := b.start("rollout", "rollback", "ks/app", "--scope", "failed", "-y", "--wait")
	r.stderr.says(t, "◎ ro-7k2f ks/app: RollingBack")
	b.hub.changeRollout(t, "ro-7k2f", rollBack)
	if code := r.wait(); code != 0 { // that is what was wanted
		t.Errorf("exit %d: %s", code, r.stderr)
	}
	want(t, "stdout", r.stdout.String(), rolloutType+"/ro-7k2f rolled back")
	if q := requestsOf[*adminv1.RollbackRequest](b.hub)[0]; q.GetScope() != "Failed" || q.GetApp().GetId() != "ro-7k2f" {
		t.Errorf("sent %v", q)
	}
}

func TestRollbackOfARolloutThatIsOverBeginsAnotherUnlessOneIsUnderWay(t *testing.T) {
	t.Parallel()
	b := newRolling(t)
	b.fails(exitPrecondition, []string{"ro-6aaa is over, and ro-7k2f of ks/app is Running", "fleetctl rollout rollback ro-7k2f"}, "rollout", "rollback", "ro-6aaa", "-y")
	b.hub.changeRollout(t, "ro-7k2f", succeed)
	b.fails(exitUsage, []string{"a rollout begins that takes 9 clusters of ks/app to main@sha1:77aa01c4 (", "in one wave and without gates"}, "rollout", "rollback", "ks/app", "--to", "main@sha1:77aa01c4")
	want(t, "stdout", b.ok("rollout", "rollback", "ks/app", "-y").stdout, rolloutType+"/ro-9bbb goes back")
	// Asked for again it is the same one, which is taken back itself only by its id.
	b.fails(exitUsage, []string{"ro-9bbb of ks/app goes on: it takes clusters back to main@sha1:77aa01c4"}, "rollout", "rollback", "ks/app")
	b.ok("rollout", "rollback", "ks/app", "-y")
	b.ok("rollout", "rollback", "ro-9bbb", "-y")
	b.hub.changeRollout(t, "ro-9bbb", rollBack)
	b.ok("rollout", "rollback", "ks/app", "-y", "--to", "main@sha1:77aa01c4")
	var about []string
	for _, q := range requestsOf[*adminv1.RollbackRequest](b.hub) {
		if !q.GetApp().GetDryRun() {
			about = append(about, cmp.Or(q.GetApp().GetId(), "the App")+" to "+q.GetTo())
		}
	}
	// What one that succeeded has brought is taken back as long as it is there; everything else is about the App.
	if got := strings.Join(about, ", "); got != "ro-7k2f to , the App to , ro-9bbb to , the App to main@sha1:77aa01c4" {
		t.Errorf("sent %q", got)
	}
}

func TestCancelHasToBeConfirmed(t *testing.T) {
	t.Parallel()
	b := newRolling(t)
	b.hub.rolled.steered = func(_ proto.Message, ro *adminv1.Rollout) { ro.Phase = phaseCancelled }
	b.fails(exitUsage, []string{"ro-7k2f of ks/app ends where it is, Running in wave 2/3 eu"}, "rollout", "cancel", "ks/app")
	want(t, "stdout", b.ok("rollout", "cancel", "ks/app", "-y").stdout, rolloutType+"/ro-7k2f cancelled")
}

func TestRollbackOfAQueuedRolloutIsNotThatOfTheOneItWaitsFor(t *testing.T) {
	t.Parallel()
	b := newRolling(t)
	waits := testRollout()
	waits.Id, waits.Phase, waits.Reason, waits.Message, waits.Waves = "ro-8bbb", phaseQueued, "NewerCandidate", "waits for ro-7k2f", nil
	b.hub.putRollout(waits)
	b.fails(exitPrecondition, []string{"ro-8bbb is Queued, and ro-7k2f of ks/app is Running", "fleetctl rollout rollback ro-7k2f"}, "rollout", "rollback", "ro-8bbb", "-y")
	b.hub.changeRollout(t, "ro-7k2f", succeed)
	b.ok("rollout", "rollback", "ro-8bbb", "-y")
	for _, q := range requestsOf[*adminv1.RollbackRequest](b.hub) {
		if q.GetApp().GetId() != "ro-8bbb" { // should it begin meanwhile
			t.Errorf("sent %v", q)
		}
	}
}
