package main

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

func TestRolloutWaitEndsWithTheCodeOfWhatTheRolloutIs(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		change func(*adminv1.Rollout)
		args   string
		code   exitCode
		texts  []string
	}{
		{"succeeded", succeed, "", exitDone, nil},
		{"succeeded, looked at once", succeed, "--timeout 0", exitDone, nil},
		{"rolled back", rollBack, "", exitFailed, []string{"ro-7k2f of ks/app was rolled back", "eu-2: Deadline"}},
		{"halted", func(ro *adminv1.Rollout) { ro.Phase, ro.Reason, ro.Message = phaseHalted, "FailureBudget", "2 failed" }, "", exitFailed, []string{"is halted", "fleetctl rollout rollback ro-7k2f"}},
		{"superseded", func(ro *adminv1.Rollout) { ro.Phase, ro.SupersededBy = phaseSuperseded, "ro-9ccc" }, "", exitFailed, []string{"was superseded", "fleetctl rollout status ro-9ccc"}},
		{"cancelled", func(ro *adminv1.Rollout) { ro.Phase, ro.Message = phaseCancelled, "no longer wanted" }, "", exitFailed, []string{"was cancelled", "no longer wanted"}},
		{"paused", func(ro *adminv1.Rollout) { ro.Phase, ro.Reason, ro.Message = phasePaused, "User", "incident" }, "", exitPerson, []string{"waits for a person", "incident", "fleetctl rollout resume ro-7k2f"}},
		{"approval", approvalDue, "", exitPerson, []string{"fleetctl rollout approve ro-7k2f --wave eu --gate prod-go"}},
		{"no wave takes a cluster", func(ro *adminv1.Rollout) {
			ro.Phase, ro.Reason, ro.Message = phaseQueued, "UnmatchedClusters", "no wave takes lab-1, and spec.unmatched is Reject"
		}, "", exitPerson, []string{"no wave takes lab-1", "fleetctl targets ks/app -n apps"}},
		{"frozen", func(ro *adminv1.Rollout) { ro.Reason, ro.Message = "Frozen", "the fleet is frozen: year's end" }, "", exitPerson, []string{"year's end", "fleetctl unfreeze"}},
		{"frozen, waited for", func(ro *adminv1.Rollout) { ro.Reason, ro.Message = "Frozen", "the fleet is frozen: year's end" }, "--through-pauses --timeout 0", exitTimeout, []string{"not yet"}},
		{"suspended", func(ro *adminv1.Rollout) { ro.Reason, ro.Message = "Suspended", "the App is suspended" }, "", exitPerson, []string{"fleetctl resume ks/app -n apps"}},
		{"a window that opens", func(ro *adminv1.Rollout) {
			ro.Reason, ro.Message = "WindowClosed", "no window is open; the next one opens at 2026-03-02T08:00:00Z"
		}, "--timeout 0", exitTimeout, []string{"not yet"}},
		{"no window that opens", func(ro *adminv1.Rollout) {
			ro.Reason, ro.Message = "NoWindowOpens", "no window is open, and none will be"
		}, "", exitPerson, []string{"none will be", "fleetctl rollout cancel ro-7k2f"}},
		{"halted by a gate", func(ro *adminv1.Rollout) { ro.Phase, ro.Reason = phaseHalted, "GateFailed" }, "", exitFailed, []string{"fleetctl rollout resume ro-7k2f --retry-gate", "skip-gate"}},
		{"halted by a person", func(ro *adminv1.Rollout) { ro.Phase, ro.Reason = phaseHalted, "ApprovalRejected" }, "", exitFailed, []string{"fleetctl rollout rollback ro-7k2f", "fleetctl rollout skip-gate ro-7k2f"}},
		{"halted for its budget", func(ro *adminv1.Rollout) {
			ro.Phase, ro.Reason, ro.Totals.Unavailable = phaseHalted, "AvailabilityBudget", 2
		}, "", exitFailed, []string{"that are not available"}},
		{"halted for an empty wave", func(ro *adminv1.Rollout) { ro.Phase, ro.Reason = phaseHalted, "EmptyRequiredWave" }, "", exitFailed, []string{"--accept-coverage"}},
		{"not started", func(ro *adminv1.Rollout) { ro.Phase, ro.Reason = phaseQueued, "AwaitingStart" }, "", exitPerson, []string{"fleetctl rollout start ks/app -n apps"}},
		{"in progress", func(*adminv1.Rollout) {}, "--timeout 0", exitTimeout, []string{"not yet: ro-7k2f of ks/app is Running", "eu-2: Failed: Deadline", "eu-3: Deferred: Offline: waits for it to connect", "eu-4: Applying: waits for it to have applied"}},
		{"approval, waited for", approvalDue, "--through-pauses --timeout 0", exitTimeout, []string{"not yet"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newRolling(t)
			b.hub.changeRollout(t, "ro-7k2f", test.change)
			b.ok("freeze", "--reason", "year's end", "--confirm=2")
			b.hub.put(t, strings.Replace(ksApp, "spec: {", "spec: {suspend: true, ", 1))
			b.hub.rolled.plan = &adminv1.PlanRolloutResponse{Rollout: &adminv1.Rollout{Phase: phaseQueued, Reason: "UnmatchedClusters"}}
			b.hub.fail("WatchRollout", status.Error(codes.PermissionDenied, "nobody should watch"))
			b.fails(test.code, test.texts, append([]string{"rollout", "wait", "ro-7k2f"}, strings.Fields(test.args)...)...)
		})
	}
}

func TestRolloutWaitFollowsThroughARestartOfTheHub(t *testing.T) {
	t.Parallel()
	b := newRolling(t)
	r := b.start("rollout", "wait", "ks/app")
	r.stderr.says(t, "◎ ro-7k2f ks/app: Running in wave 2/3 eu")
	b.hub.fail("WatchRollout", status.Error(codes.Unavailable, "the hub is down"))
	b.hub.cutStreams()
	r.stderr.says(t, "the connection to the hub is lost")
	b.hub.changeRollout(t, "ro-7k2f", succeed)
	b.hub.fail("WatchRollout", nil)
	if code := r.wait(); code != 0 {
		t.Errorf("exit %d: %s", code, r.stderr)
	}
	want(t, "stdout", r.stdout.String(), rolloutType+"/ro-7k2f succeeded")
}

func TestRolloutWaitFailsAtOnceWhenTheRolloutDoes(t *testing.T) {
	t.Parallel()
	b := newRolling(t)
	r := b.start("rollout", "wait", "ks/app")
	r.stderr.says(t, "ro-7k2f")
	b.hub.changeRollout(t, "ro-7k2f", func(ro *adminv1.Rollout) { ro.Phase, ro.Reason = phaseRollingBack, "FailureBudget" })
	r.stderr.says(t, "RollingBack") // it is waited for: then one knows what the clusters have
	b.hub.changeRollout(t, "ro-7k2f", rollBack)
	if code := r.wait(); code != int(exitFailed) {
		t.Errorf("exit %d", code)
	}
}

func TestRolloutWaitThatTimesOutTellsWhichClustersAreMissingAndWhy(t *testing.T) {
	t.Parallel()
	b := newRolling(t)
	b.expire = make(chan struct{})
	r := b.start("rollout", "wait", "ks/app", "--timeout", "1h")
	r.stderr.says(t, "ro-7k2f")
	close(b.expire)
	if code := r.wait(); code != int(exitTimeout) {
		t.Errorf("exit %d", code)
	}
	wantTexts(t, "stderr", r.stderr.String(), "timed out after 1h0m0s waiting for ro-7k2f of ks/app", "eu-3: Deferred: Offline: waits for it to connect", "eu-5: Pending: waits for its turn", "try: fleetctl rollout status ro-7k2f")
}

func TestRolloutWaitForARevisionWaitsForItsRolloutToBegin(t *testing.T) {
	t.Parallel()
	b := newRolling(t)
	b.hub.changeRollout(t, "ro-7k2f", succeed)
	r := b.start("rollout", "wait", "ks/app", "--revision", "ffff056d")
	r.stderr.says(t, "waiting for a rollout of ks/app to ffff056d: at main@sha1:696f056d")
	next := testRollout()
	next.Id, next.Revision, next.Target = "ro-9ccc", "main@sha1:ffff056df216eea4f9401adbee0ff744d4df390f", "sha256:ffff00001111"
	b.hub.comesTo(next.GetRevision(), next.GetTarget())
	b.hub.putRollout(next)
	r.stderr.says(t, "ro-9ccc ks/app: Running")
	b.hub.changeRollout(t, "ro-9ccc", succeed)
	if code := r.wait(); code != 0 {
		t.Errorf("exit %d: %s", code, r.stderr)
	}
	b.fails(exitTimeout, []string{"no rollout of ks/app to eeee056d has begun"}, "rollout", "wait", "ks/app", "--revision", "eeee056d", "--timeout", "0")
	b.fails(exitFailed, []string{"ro-6aaa of ks/app was rolled back"}, "rollout", "wait", "ks/app", "--revision", "bad0bad0")
	b.fails(exitNotFound, []string{"ks/nope"}, "rollout", "wait", "ks/nope", "--revision", "eeee056d")
}

func TestRolloutWaitForARevisionThatNeededNoRolloutIsDone(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	r := b.ok("rollout", "wait", "ks/app", "--revision", "696f056d")
	wantTexts(t, "stderr", r.stderr, "no rollout was needed")
	want(t, "stdout", r.stdout, "kustomization.kustomize.toolkit.fluxcd.io/app condition met")
}

func TestRolloutWaitForARevisionIsNotDoneBeforeTheAppIsThereEverywhere(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	b.hub.put(t, strings.Replace(ksApp, "lastAttemptedRevision: main@sha1:696f056d", "lastAttemptedRevision: main@sha1:eeee056d", 1))
	b.fails(exitTimeout, []string{"no rollout of ks/app to 696f056d has begun"}, "rollout", "wait", "ks/app", "--revision", "696f056d", "--timeout", "0")
}

// comesTo has the App come to a Revision, which is the Release.
func (h *fakeHub) comesTo(revision, release string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.history {
		e.Current = false
	}
	h.history = slices.Insert(h.history, 0, &adminv1.HistoryEntry{Revision: revision, Release: release, Current: true})
}

// ksAt is an App whose newest revision is that one, which it is not at, for that reason.
func ksAt(revision, reason string) string {
	text := strings.Replace(ksProgressing, "main@sha1:ffff056df216eea4f9401adbee0ff744d4df390f", revision, 1)
	return strings.Replace(text, "status: Unknown, reason: Progressing", `status: "False", reason: `+reason, 1)
}

// afterAnother is a Rollout to another Release, after the one of newRolling.
func afterAnother(b *bundle) *adminv1.Rollout {
	other := testRollout()
	other.Id, other.Kind, other.Phase, other.Target, other.Revision = "ro-9ccc", "Backward", phaseSucceeded, "sha256:77aa01c400001111", "main@sha1:77aa01c4f216eea4f9401adbee0ff744d4df390f"
	b.hub.putRollout(other)
	return other
}

func TestRolloutWaitForARevisionIsNoSuccessWhenClustersWereTakenElsewhereSince(t *testing.T) {
	t.Parallel()
	for name, app := range map[string]string{
		"taken back":     ksAt("main@sha1:696f056df216eea4f9401adbee0ff744d4df390f", "ReleaseTakenBack"),
		"a newer commit": ksAt("main@sha1:77aa01c4f216eea4f9401adbee0ff744d4df390f", "Failed"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newRolling(t)
			b.hub.changeRollout(t, "ro-7k2f", succeed)
			afterAnother(b)
			if name == "a newer commit" {
				b.hub.comesTo("main@sha1:77aa01c4f216eea4f9401adbee0ff744d4df390f", "sha256:77aa01c400001111")
			}
			b.hub.put(t, app)
			b.fails(exitFailed, []string{"ks/app is not at 696f056d any more: ro-7k2f brought it, and ro-9ccc to main@sha1:77aa01c4 (sha256:77aa01c4) came after it"},
				"rollout", "wait", "ks/app", "--revision", "696f056d")
		})
	}
}

func TestRolloutWaitForARevisionOfAnOlderReleaseWaitsForItToComeAgain(t *testing.T) {
	t.Parallel()
	b := newRolling(t)
	b.hub.changeRollout(t, "ro-7k2f", succeed)
	afterAnother(b)
	// A commit that comes to what ro-7k2f has brought. The hub has not begun with it.
	b.hub.comesTo("main@sha1:ffff056df216eea4f9401adbee0ff744d4df390f", testRollout().GetTarget())
	b.hub.put(t, ksProgressing)
	r := b.start("rollout", "wait", "ks/app", "--revision", "ffff056d")
	r.stderr.says(t, "waiting for a rollout of ks/app to ffff056d")
	again := testRollout()
	again.Id = "ro-1ddd"
	succeed(again)
	b.hub.putRollout(again)
	if code := r.wait(); code != 0 {
		t.Errorf("exit %d: %s", code, r.stderr)
	}
	want(t, "stdout", r.stdout.String(), rolloutType+"/ro-1ddd succeeded")
}

func TestRolloutWaitForARevisionIsOfAllThatCameToItsRelease(t *testing.T) {
	t.Parallel()
	b := newRolling(t)
	b.hub.changeRollout(t, "ro-7k2f", func(ro *adminv1.Rollout) {
		succeed(ro)
		ro.Revision = "main@sha1:ffff056df216eea4f9401adbee0ff744d4df390f" // the newest that comes to it
	})
	b.hub.comesTo("main@sha1:ffff056df216eea4f9401adbee0ff744d4df390f", testRollout().GetTarget())
	b.ok("rollout", "wait", "ks/app", "--revision", "696f056d")
	b.ok("rollout", "wait", "ks/app", "--revision", "ffff056d")
	b.ok("rollout", "wait", "ks/app", "--revision", testRollout().GetTarget())
	aside := testRollout()
	aside.Id, aside.Target, aside.Revision = "ro-9ccc", "sha256:77aa01c400001111", "main@sha1:77aa01c4"
	rollBack(aside) // clusters are where they were
	b.hub.putRollout(aside)
	b.ok("rollout", "wait", "ks/app", "--revision", "696f056d")
}

func TestRolloutWaitForARevisionIsNotAboutARolloutThatNeverBegan(t *testing.T) {
	t.Parallel()
	for _, phase := range []string{phaseQueued, phaseCancelled, phaseSuperseded} {
		b := newRolling(t)
		b.hub.changeRollout(t, "ro-7k2f", succeed)
		b.hub.put(t, ksAt("main@sha1:77aa01c4f216eea4f9401adbee0ff744d4df390f", "ReleaseTakenBack"))
		b.hub.comesTo("main@sha1:77aa01c4f216eea4f9401adbee0ff744d4df390f", "sha256:77aa01c400001111")
		dropped := afterAnother(b)
		b.hub.changeRollout(t, dropped.GetId(), func(ro *adminv1.Rollout) { ro.Phase, ro.Started = phase, nil })
		b.ok("rollout", "wait", "ks/app", "--revision", "696f056d")
	}
}

func TestRolloutWaitForARevisionThatWillNeverBeRolledOutSaysSo(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, app string
		code      exitCode
		texts     []string
	}{
		{"cannot be built", ksStalled, exitFailed, []string{"no rollout of ks/app to ffff056d will begin", "no such path ./deploy"}},
		{"is suspended", ksSuspended(), exitPerson, []string{"no rollout of ks/app to ffff056d begins before a person resumes it", "fleetctl resume ks/app -n apps"}},
		{"has no policy", ksProgressing + "---\n" + strings.Replace(placementApp, `status: "True", message: "placed"`, `status: "False", reason: RolloutPolicyNotFound, message: "not declared: RolloutPolicy/prod"`, 1),
			exitPerson, []string{"no rollout of ks/app begins before a person declares its policy", "not declared: RolloutPolicy/prod"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newFleet(t)
			b.hub.put(t, test.app)
			b.fails(test.code, test.texts, "rollout", "wait", "ks/app", "--revision", "ffff056d")
		})
	}
}

// ksSuspended is an App whose newest revision is not rolled out, for it is suspended.
func ksSuspended() string {
	return strings.Replace(ksProgressing, "spec: {", "spec: {suspend: true, ", 1)
}

func TestRolloutWaitForARevisionThroughPausesWaitsForASuspendedAppToBeResumed(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	b.hub.put(t, ksSuspended())
	b.fails(exitTimeout, []string{"no rollout of ks/app to ffff056d has begun"}, "rollout", "wait", "ks/app", "--revision", "ffff056d", "--through-pauses", "--timeout", "0")
}

func TestRolloutWaitForARevisionHasToReachTheHubAtFirst(t *testing.T) {
	t.Parallel()
	b := newRolling(t)
	for _, method := range []string{"Get", "List", "History"} {
		b.hub.fail(method, status.Error(codes.Unavailable, "connection refused"))
	}
	for _, timeout := range []string{"1h", "0"} {
		b.fails(exitUnreachable, nil, "rollout", "wait", "ks/app", "--revision", "ffff056d", "--timeout", timeout)
	}
}

func TestRolloutWaitForARevisionThatTimesOutWhileTheHubIsAwaySaysThat(t *testing.T) {
	t.Parallel()
	b := newRolling(t)
	b.expire = make(chan struct{})
	r := b.start("rollout", "wait", "ks/app", "--revision", "ffff056d", "--timeout", "1h")
	r.stderr.says(t, "waiting for a rollout of ks/app to ffff056d")
	for _, method := range []string{"Get", "List", "History"} {
		b.hub.fail(method, status.Error(codes.Unavailable, "connection refused"))
	}
	r.stderr.says(t, "the connection to the hub is lost")
	close(b.expire)
	if code := r.wait(); code != int(exitUnreachable) {
		t.Errorf("exit %d: %s", code, r.stderr)
	}
	if n := strings.Count(r.stderr.String(), "the connection to the hub is lost"); n != 1 {
		t.Errorf("said %d times:\n%s", n, r.stderr)
	}
}

func TestRolloutWaitThatLooksOnceIsBounded(t *testing.T) {
	t.Parallel()
	a := &app{given: map[string]bool{"timeout": true}}
	ctx, cancel := a.waiting(t.Context())
	defer cancel()
	if _, bounded := ctx.Deadline(); !bounded {
		t.Error("a hub that does not answer is waited for without end")
	}
}

func TestRolloutWaitDoesNotWantOfAPersonWhatIsDoneAndNotTakenUpYet(t *testing.T) {
	t.Parallel()
	for reason, phase := range map[string]string{"Frozen": phaseRunning, "Suspended": phaseRunning, "UnmatchedClusters": phaseQueued} {
		b := newRolling(t)
		b.hub.changeRollout(t, "ro-7k2f", func(ro *adminv1.Rollout) { ro.Phase, ro.Reason = phase, reason })
		b.hub.rolled.plan = testPlan()
		b.fails(exitTimeout, []string{"not yet"}, "rollout", "wait", "ro-7k2f", "--timeout", "0")
	}
}

func TestRolloutWaitTakesTheRolloutsWordWhereTheHubCannotSayWhatAPersonHasToDo(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ reason, phase, method string }{
		{"Frozen", phaseRunning, "GetFreeze"}, {"Suspended", phaseRunning, "Get"}, {"UnmatchedClusters", phaseQueued, "PlanRollout"},
	} {
		b := newRolling(t)
		b.hub.changeRollout(t, "ro-7k2f", func(ro *adminv1.Rollout) { ro.Phase, ro.Reason = test.phase, test.reason })
		b.hub.fail(test.method, status.Error(codes.Unavailable, "connection refused"))
		b.fails(exitPerson, []string{"ro-7k2f of ks/app waits for a person"}, "rollout", "wait", "ro-7k2f", "--timeout", "0")
	}
}
