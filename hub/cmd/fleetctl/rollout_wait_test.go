package main

import (
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
		{"not started", func(ro *adminv1.Rollout) { ro.Phase, ro.Reason = phaseQueued, "AwaitingStart" }, "", exitPerson, []string{"fleetctl rollout start ks/app -n apps"}},
		{"in progress", func(*adminv1.Rollout) {}, "--timeout 0", exitTimeout, []string{"not yet: ro-7k2f of ks/app is Running", "eu-2: Failed: Deadline", "eu-3: Deferred: Offline: waits for it to connect", "eu-4: Applying: waits for it to have applied"}},
		{"approval, waited for", approvalDue, "--through-pauses --timeout 0", exitTimeout, []string{"not yet"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newRolling(t)
			b.hub.changeRollout(t, "ro-7k2f", test.change)
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
	next.Id, next.Revision = "ro-9ccc", "main@sha1:ffff056df216eea4f9401adbee0ff744d4df390f"
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
