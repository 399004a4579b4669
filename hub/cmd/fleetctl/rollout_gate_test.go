package main

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"flotilla.dev/flotilla/pkg/fleet"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

func TestGateThatIsMeantIsTheOneWaitedForOrNamed(t *testing.T) {
	t.Parallel()
	twoDue := func(ro *adminv1.Rollout) {
		approvalDue(ro)
		ro.Waves[1].After = append(ro.Waves[1].After, &adminv1.RolloutGate{Name: "second", Type: "Approval", Phase: "Running"})
	}
	ahead := func(ro *adminv1.Rollout) {
		ro.Waves[2].After = []*adminv1.RolloutGate{{Name: "prod-go", Type: "Approval", Phase: "Waiting"}}
	}
	decided := func(ro *adminv1.Rollout) { ro.Waves[1].After[0].Phase = "Passed" }
	for _, test := range []struct {
		name   string
		change func(*adminv1.Rollout)
		args   string
		code   exitCode
		texts  []string
		sent   string
	}{
		{"the one waited for", approvalDue, "-y", exitDone, nil, "eu/prod-go"},
		{"named", approvalDue, "-y --wave eu --gate prod-go", exitDone, nil, "eu/prod-go"},
		{"none is waited for", nil, "-y", exitPrecondition, []string{"ro-7k2f waits for no approval now", "--wave eu --gate prod-go: Approval, Waiting", "fleetctl rollout status ro-7k2f"}, ""},
		{"ahead", nil, "-y --gate prod-go", exitDone, nil, "eu/prod-go"},
		{"ambiguous ahead", ahead, "-y --gate prod-go", exitUsage, []string{"several gates", "--wave eu --gate prod-go", "--wave rest --gate prod-go"}, ""},
		{"ahead, with its wave", ahead, "-y --gate prod-go --wave rest", exitDone, nil, "rest/prod-go"},
		{"ambiguous", twoDue, "-y", exitUsage, []string{"several gates of ro-7k2f may be meant", "--wave eu --gate second"}, ""},
		{"of two", twoDue, "-y --gate second", exitDone, nil, "eu/second"},
		{"unknown", approvalDue, "-y --gate prod", exitNotFound, []string{"ro-7k2f has no such approval", "--gate prod-go"}, ""},
		{"no approval", approvalDue, "-y --gate soak", exitNotFound, []string{"ro-7k2f has no such approval"}, ""},
		{"decided", decided, "-y --gate prod-go", exitPrecondition, []string{"has been decided", "Passed"}, ""},
		{"not confirmed", approvalDue, "", exitUsage, []string{"approve ro-7k2f of ks/app to main@sha1:696f056d (sha256:9f3c1a2b), Running in wave 2/3 eu, 2/9 clusters updated",
			"gate prod-go, after wave eu: 0 of 1 approvals, of group:sre; next is wave rest with 3 clusters", "1 cluster failed so far", "try: -y"}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newRolling(t)
			if test.change != nil {
				b.hub.changeRollout(t, "ro-7k2f", test.change)
			}
			b.fails(test.code, test.texts, append([]string{"rollout", "approve", "ks/app", "--comment", "go"}, strings.Fields(test.args)...)...)
			requests := requestsOf[*adminv1.DecideGateRequest](b.hub)
			switch {
			case test.sent == "" && len(requests) > 0:
				t.Errorf("sent %v", requests)
			case test.sent == "":
			case len(requests) != 1:
				t.Fatalf("sent %v", requests)
			default:
				if q := requests[0]; q.GetWave()+"/"+q.GetGate() != test.sent || !q.GetApprove() || q.GetPlanDigest() != planDigest || q.GetComment() != "go" {
					t.Errorf("sent %v", q)
				}
			}
		})
	}
}

func TestRejectAndSkipGateSayWhatIsLeftToDo(t *testing.T) {
	t.Parallel()
	b := newRolling(t)
	b.hub.changeRollout(t, "ro-7k2f", approvalDue)
	b.hub.rolled.steered = func(request proto.Message, ro *adminv1.Rollout) {
		if _, decide := request.(*adminv1.DecideGateRequest); decide {
			ro.Phase, ro.Reason, ro.Waves[1].After[0].Detail = phaseHalted, "ApprovalRejected", "rejected by user:admin"
			return
		}
		ro.Waves[1].After[0].Phase = "Overridden"
	}
	r := b.ok("rollout", "reject", "ks/app", "-y")
	want(t, "stdout", r.stdout, rolloutType+"/ro-7k2f rejected")
	wantTexts(t, "stderr", r.stderr, "is halted", "gate prod-go of wave eu: rejected by user:admin")
	b.fails(exitUsage, []string{"skip a gate of ro-7k2f of ks/app", "this has to be confirmed", "try: -y"}, "rollout", "skip-gate", "ro-7k2f", "--reason", "a mistake")
	if n := len(requestsOf[*adminv1.SkipGateRequest](b.hub)); n > 0 {
		t.Error("passed over without a yes")
	}
	r = b.ok("rollout", "skip-gate", "ro-7k2f", "-y", "--reason", "a mistake")
	wantTexts(t, "stderr", r.stderr, "it goes on with: fleetctl rollout resume ro-7k2f")
	if q := requestsOf[*adminv1.SkipGateRequest](b.hub)[0]; q.GetWave() != "eu" || q.GetGate() != "prod-go" || q.GetApp().GetReason() != "a mistake" {
		t.Errorf("sent %v", q)
	}
}

func TestWhatRejectingComesToIsSaid(t *testing.T) {
	t.Parallel()
	b := newRolling(t)
	b.hub.changeRollout(t, "ro-7k2f", approvalDue)
	b.fails(exitUsage, []string{"gate prod-go, after wave eu: 0 of 1 approvals, of group:sre; the rollout is halted, and its policy takes the clusters that were updated back (Updated)"}, "rollout", "reject", "ks/app")
	b.hub.changeRollout(t, "ro-7k2f", func(ro *adminv1.Rollout) { ro.Policy = []byte(`{"waves":[{"name":"canary"}]}`) })
	b.fails(exitUsage, []string{"of group:sre; the rollout is halted, and clusters stay at what they have"}, "rollout", "reject", "ks/app")
	b.hub.changeRollout(t, "ro-7k2f", func(ro *adminv1.Rollout) { ro.Waves[1].After[0].Phase = "Waiting" })
	b.fails(exitPrecondition, []string{"waits for no gate now", "to pass over ahead"}, "rollout", "skip-gate", "ro-7k2f", "--reason", "x", "-y")
}

// approvalPolicy is the policy of testRollout with an approval as given.
func approvalPolicy(approval string) []byte {
	return []byte(`{"waves":[{"name":"canary"},{"name":"eu","after":[{"approval":` + approval + `}]},{"name":"rest"}]}`)
}

func TestApprovalThatNobodyCanGiveIsToldBeforehand(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, approval, planned, started, refused string
	}{
		{"of who starts it", `{"name":"prod-go"}`, "", "user:admin started it and is the only one there is: allowSelf is not set", ""},
		{"of two", `{"name":"prod-go","minApprovers":2,"allowSelf":true}`, "2 have to approve, and user:admin is the only one there is", "2 have to approve", ""},
		{"of others", `{"name":"prod-go","approvers":["group:sre"],"allowSelf":true}`, "user:admin is the only one there is, and none of its approvers", "none of its approvers", ""},
		{"of oneself", `{"name":"prod-go","allowSelf":true}`, "", "", ""},
		{"of oneself by name", `{"name":"prod-go","allowSelf":true,"approvers":["user:admin"]}`, "", "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newRolling(t)
			plan := testPlan()
			plan.Rollout.Policy, plan.Rollout.Actor = approvalPolicy(test.approval), "system"
			b.hub.rolled.plan = plan
			const nobody = "nobody can approve at gate prod-go of wave eu"
			has := func(what, text, why string) {
				t.Helper()
				if strings.Contains(text, nobody) != (why != "") || !strings.Contains(text, why) {
					t.Errorf("%s: want %q:\n%s", what, why, text)
				}
			}
			has("plan", b.ok("rollout", "plan", "ks/app").stderr, test.planned)
			asked := b.fails(exitUsage, nil, "rollout", "start", "ks/app")
			has("start, asked", asked.stderr, test.started)
			plan.Rollout.Actor = fleet.Admin
			has("start", b.ok("rollout", "start", "ks/app", "-y").stderr, test.started)
			b.hub.changeRollout(t, "ro-9ccc", func(ro *adminv1.Rollout) {
				ro.Wave = 1
				approvalDue(ro)
			})
			if test.started == "" {
				b.fails(exitPerson, []string{"fleetctl rollout approve ro-9ccc --wave eu --gate prod-go"}, "rollout", "wait", "ro-9ccc")
				return
			}
			b.fails(exitPerson, []string{"fleetctl rollout skip-gate ro-9ccc --wave eu --gate prod-go --reason TEXT", test.started}, "rollout", "wait", "ro-9ccc")
			b.hub.fail("DecideGate", status.Error(codes.FailedPrecondition, "conflict: not you"))
			b.fails(exitPrecondition, []string{"not you", "fleetctl rollout skip-gate ro-9ccc --wave eu --gate prod-go --reason TEXT"}, "rollout", "approve", "ro-9ccc", "-y")
		})
	}
}
