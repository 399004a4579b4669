package main

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// A pipeline reads where the Rollout ended from its document, however the wait went.
func TestRolloutWaitGivesAProgramTheRolloutWithEveryOutcome(t *testing.T) {
	t.Parallel()
	halt := func(ro *adminv1.Rollout) { ro.Phase, ro.Reason = phaseHalted, "FailureBudget" }
	for _, test := range []struct {
		name, args string
		change     func(*adminv1.Rollout)
		code       exitCode
		phase      string
		awaits     string
	}{
		{"succeeded", "wait ks/app", succeed, exitDone, phaseSucceeded, ""},
		{"in progress", "wait ks/app --timeout 0", nil, exitTimeout, phaseRunning, ""},
		{"halted", "wait ks/app", halt, exitFailed, phaseHalted, ""},
		{"rolled back", "wait ro-7k2f", rollBack, exitFailed, phaseRolledBack, ""},
		{"of a revision", "wait ks/app --revision 696f056d", rollBack, exitFailed, phaseRolledBack, ""},
		{"approval", "wait ks/app", approvalDue, exitPerson, phaseRunning, "fleetctl rollout approve ro-7k2f --wave eu --gate prod-go"},
		{"started, and halted", "start ks/app -y --wait", halt, exitFailed, phaseHalted, ""},
		{"started, and in progress", "start ks/app -y --wait --timeout 0", nil, exitTimeout, phaseRunning, ""},
		{"taken back, and in progress", "rollback ks/app -y --wait --timeout 0", nil, exitTimeout, phaseRollingBack, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newRolling(t)
			if test.change != nil {
				b.hub.changeRollout(t, "ro-7k2f", test.change)
			}
			b.hub.rolled.plan = &adminv1.PlanRolloutResponse{Rollout: b.hub.rolled.rollouts[0]}
			b.hub.rolled.steered = func(_ proto.Message, ro *adminv1.Rollout) { ro.Phase = phaseRollingBack }
			args := append([]string{"rollout"}, strings.Fields(test.args)...)
			r := b.run(append(args, "-o", "json")...)
			if r.code != int(test.code) {
				t.Fatalf("exit %d: %s", r.code, r.stderr)
			}
			document := parseJSON(t, r.stdout)
			if document["id"] != "ro-7k2f" || document["phase"] != test.phase {
				t.Errorf("stdout: %s", r.stdout)
			}
			if awaits, _ := document["awaits"].(string); awaits != test.awaits {
				t.Errorf("awaits %q", awaits)
			}
			if test.code != exitDone {
				wantTexts(t, "stderr", r.stderr, "Error: ")
			}
			want(t, "-o name", b.run(append(args, "-o", "name")...).stdout, rolloutType+"/ro-7k2f")
		})
	}
}

func TestRolloutWaitThatFailsSaysNothingToAPersonOnStdout(t *testing.T) {
	t.Parallel()
	b := newRolling(t)
	b.hub.changeRollout(t, "ro-7k2f", rollBack)
	want(t, "stdout", b.fails(exitFailed, nil, "rollout", "wait", "ks/app").stdout, "")
}

func TestRolloutWaitForARevisionThatWasLeftGivesAProgramTheRolloutThatBroughtIt(t *testing.T) {
	t.Parallel()
	b := newRolling(t)
	b.hub.changeRollout(t, "ro-7k2f", succeed)
	afterAnother(b)
	b.hub.put(t, ksAt("main@sha1:696f056df216eea4f9401adbee0ff744d4df390f", "ReleaseTakenBack"))
	r := b.fails(exitFailed, []string{"is not at 696f056d any more"}, "rollout", "wait", "ks/app", "--revision", "696f056d", "-o", "json")
	if id := parseJSON(t, r.stdout)["id"]; id != "ro-7k2f" {
		t.Errorf("stdout: %s", r.stdout)
	}
}

func TestRolloutWaitWithoutARolloutGivesAProgramNothing(t *testing.T) {
	t.Parallel()
	b := newRolling(t)
	want(t, "stdout", b.fails(exitTimeout, nil, "rollout", "wait", "ks/app", "--revision", "eeee056d", "--timeout", "0", "-o", "json").stdout, "")
}
