package main

import (
	"cmp"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"flotilla.dev/flotilla/pkg/fleet"
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

func TestClusterThatARolloutIsNotAboutIsNamed(t *testing.T) {
	t.Parallel()
	b := newRolling(t)
	for _, method := range []string{"SkipClusters", "RetryClusters"} {
		b.hub.fail(method, status.Error(codes.NotFound, "cluster nope of rollout ro-7k2f: not found"))
	}
	for _, args := range []string{"skip-cluster ks/app nope -y", "retry-cluster ks/app nope"} {
		r := b.fails(exitNotFound, []string{"cluster nope of rollout ro-7k2f", "that cluster is not in it", "try: fleetctl rollout status ro-7k2f --watch=false -o wide"}, append([]string{"rollout"}, strings.Fields(args)...)...)
		if strings.Contains(r.stderr, "no such rollout") {
			t.Errorf("stderr:\n%s", r.stderr)
		}
	}
}

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

func TestClustersAreRetriedAndSkippedByNameOrAll(t *testing.T) {
	t.Parallel()
	b := newRolling(t)
	b.hub.changeRollout(t, "ro-7k2f", func(ro *adminv1.Rollout) { ro.Phase, ro.Reason = phaseHalted, "FailureBudget" })
	r := b.ok("rollout", "retry-cluster", "ks/app", "eu-2", "eu-3")
	want(t, "stdout", r.stdout, rolloutType+"/ro-7k2f tries again: eu-2, eu-3")
	wantTexts(t, "stderr", r.stderr, "it goes on with: fleetctl rollout resume ro-7k2f")
	b.ok("rollout", "retry-cluster", "ro-7k2f", "--all-failed")
	b.fails(exitUsage, []string{"goes on without every cluster that is deferred: they stay at what they have until this rollout, or a later one, has succeeded, and catch up then; fleetctl freeze keeps them out", "try: -y"}, "rollout", "skip-cluster", "ks/app", "--all-deferred")
	for _, verb := range []string{"skip-cluster", "retry-cluster"} {
		b.fails(exitUsage, []string{"eu-3 and every cluster that failed: name clusters, or give the --all flags, and not both"}, "rollout", verb, "ks/app", "eu-3", "--all-failed")
	}
	b.ok("rollout", "skip-cluster", "ks/app", "--all-failed", "--all-deferred", "--all-stale", "-y", "--reason", "are rebuilt")
	retries, skips := requestsOf[*adminv1.RetryClustersRequest](b.hub), requestsOf[*adminv1.SkipClustersRequest](b.hub)
	if len(retries) != 2 || strings.Join(retries[0].GetClusters(), " ") != "eu-2 eu-3" || !retries[1].GetAllFailed() {
		t.Errorf("sent %v", retries)
	}
	if len(skips) != 1 || !skips[0].GetAllFailed() || !skips[0].GetAllDeferred() || !skips[0].GetAllStale() || skips[0].GetApp().GetReason() != "are rebuilt" {
		t.Errorf("sent %v", skips)
	}
}

func TestWhatPassingClustersOverMeansForTheWaveIsSaid(t *testing.T) {
	t.Parallel()
	const failed, nobody = "that is all that has failed of wave eu: the rollout ", "nobody is left in wave eu, "
	const shown = nobody + "which has shown nothing of the release then: the rollout "
	const everybody = "eu-1 eu-2 eu-3 eu-4 eu-5"
	phase := func(p string) func(*adminv1.Rollout) {
		return func(ro *adminv1.Rollout) { ro.Phase, ro.Reason = p, "User" }
	}
	ungated := func(ro *adminv1.Rollout) { ro.Waves[1].After[0].Phase = "Overridden" }
	last := func(ro *adminv1.Rollout) {
		ro.Waves[2].Totals = &adminv1.RolloutTotals{Size: 3, Removed: 2, Skipped: 1}
		ungated(ro)
	}
	onlyThere := func(verdict string) func(*adminv1.Rollout) {
		return func(ro *adminv1.Rollout) {
			last(ro)
			ro.Waves[0].Totals = &adminv1.RolloutTotals{Size: 1, Deferred: 1}
			ro.Totals.Succeeded, ro.Verdict = 1, verdict // of wave eu
		}
	}
	required := func(ro *adminv1.Rollout) {
		ro.Policy = []byte(`{"waves":[{"name":"canary"},{"name":"eu","required":true}]}`)
	}
	for _, test := range []struct {
		name   string
		change func(*adminv1.Rollout)
		args   string
		want   string
	}{
		{"one that failed", nil, "eu-2", failed + "goes on to wave rest once the others are there and gate prod-go has passed"},
		{"all that failed", nil, "--all-failed", failed + "goes on to wave rest once the others are there and gate prod-go has passed"},
		{"all but one", ungated, "eu-2 eu-3 eu-4 eu-5", failed + "goes on to wave rest by that"},
		{"one that is deferred", nil, "eu-3", ""},
		{"all that are deferred", nil, "--all-deferred", ""},
		{"of another wave", nil, "us-1", ""},
		{"some", nil, "eu-1 eu-3", ""},
		{"all", nil, everybody, shown + "goes on to wave rest once gate prod-go has passed"},
		{"all, without a gate", ungated, everybody, shown + "goes on to wave rest by that"},
		{"all, before it began", func(ro *adminv1.Rollout) {
			ro.Waves[1].Before = []*adminv1.RolloutGate{{Name: "soak", Phase: "Running"}}
		}, everybody, shown + "goes on to wave rest once gates soak and prod-go have passed"},
		{"halted", phase(phaseHalted), "eu-2", failed + "goes on to wave rest once it is resumed, the others are there and gate prod-go has passed"},
		{"all of one that is halted", phase(phaseHalted), everybody, shown + "goes on to wave rest once it is resumed and gate prod-go has passed"},
		{"all of one that is paused", phase(phasePaused), everybody, shown + "goes on to wave rest once it is resumed and gate prod-go has passed"},
		{"all that is required", required, everybody, nobody + "and the policy requires somebody: the rollout halts (EmptyRequiredWave), unless fleetctl rollout resume ro-7k2f --accept-coverage takes the wave as it is"},
		{"what failed of what is required", required, "eu-2", failed + "goes on to wave rest once the others are there and gate prod-go has passed"},
		{"all of the last one", last, everybody, shown + "comes to its end by that"},
		{"all there are", onlyThere("Unknown"), everybody, shown + "ends as Cancelled by that, since no cluster has the release"},
		{"all there are, of a good release", onlyThere("Good"), everybody, shown + "comes to its end by that"},
	} {
		b := newRolling(t)
		if test.change != nil {
			b.hub.changeRollout(t, "ro-7k2f", test.change)
		}
		r := b.fails(exitUsage, []string{test.want}, append([]string{"rollout", "skip-cluster", "ks/app"}, strings.Fields(test.args)...)...)
		if says := strings.Count(r.stderr, failed) + strings.Count(r.stderr, nobody); says > 1 || says == 1 && test.want == "" || test.want != "" && !strings.Contains(r.stderr, test.want+"\n") {
			t.Errorf("%s: want %q, stderr:\n%s", test.name, test.want, r.stderr)
		}
	}
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

func TestFreezeIsToldWithWhoAndWhy(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	want(t, "stdout", b.ok("freeze", "--show").stdout, "nothing is frozen")
	b.fails(exitUsage, []string{"--reason is required"}, "freeze")
	b.fails(exitUsage, []string{"--show tells all that is frozen"}, "freeze", "--show", "prod-1")
	b.fails(exitUsage, []string{"--show tells all that is frozen"}, "freeze", "--show", "--confirm=2")
	b.fails(exitNotFound, []string{"Cluster/nope", "fleetctl get clusters"}, "freeze", "nope", "--reason", "x")
	b.ok("freeze", "--reason", "year's end", "--dry-run")
	want(t, "stdout", b.ok("freeze", "--show").stdout, "nothing is frozen")
	b.ok("freeze", "--reason", "year's end", "--confirm=2")
	want(t, "stdout", b.ok("freeze", "prod-1", "--reason", "network").stdout, `
FROZEN      SINCE   BY           REASON
the fleet   0s      user:admin   year's end
prod-1      0s      user:admin   network`)
	want(t, "stdout", b.ok("unfreeze", "--confirm=2").stdout, "FROZEN   SINCE   BY           REASON\nprod-1   0s      user:admin   network")
	if d := parseJSON(t, b.ok("freeze", "--show", "-o", "json").stdout); d["fleet"] != nil || len(d["clusters"].([]any)) != 1 {
		t.Errorf("-o json gives %v", d)
	}
	want(t, "stdout", b.ok("unfreeze", "prod-1").stdout, "nothing is frozen")
}

// Rule: what means the whole fleet is confirmed by the number of its clusters, as what deletes is.
func TestFreezeOfTheFleetAndItsEndAreConfirmedByTheNumberOfClusters(t *testing.T) {
	t.Parallel()
	const begins, ends = "nothing new goes to any cluster, until unfreeze (year's end)", "the freeze of the whole fleet ends (night)"
	for _, test := range []struct {
		name, args string
		tty        bool
		typed      string
		code       exitCode
		texts      []string
	}{
		{"typed", "", true, "2\n", exitDone, []string{"Type the number of clusters (2)"}},
		{"wrong number typed", "", true, "3\n", exitUsage, []string{"not confirmed: nothing was changed"}},
		{"yes typed", "", true, "yes\n", exitUsage, []string{"not confirmed: nothing was changed"}},
		{"no terminal", "", false, "", exitUsage, []string{"this has to be confirmed, and there is no terminal to ask at", "try: --confirm=2"}},
		{"-y", "-y", false, "", exitUsage, []string{"-y is not enough here", "try: --confirm=2"}},
		{"given", "--confirm=2", false, "", exitDone, nil},
		{"given wrong", "--confirm=3", true, "2\n", exitUsage, []string{"--confirm says 3, and it is 2 clusters"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for what, args := range map[string][]string{begins: {"freeze", "--reason", "year's end"}, ends: {"unfreeze"}} {
				b := newFleet(t)
				b.hub.rolled.frozen.Fleet = &adminv1.FreezeState{Reason: "night", Actor: "user:admin"}
				b.tty, b.stdin = test.tty, test.typed
				texts := slices.Clone(test.texts)
				if test.code == exitUsage {
					texts = append(texts, what+": it means every cluster there is or will be")
				}
				b.fails(test.code, texts, append(args, strings.Fields(test.args)...)...)
				var sent []uint32
				for _, r := range b.hub.requests {
					if change, ok := r.(interface {
						GetConfirm() uint32
						GetDryRun() bool
					}); ok && !change.GetDryRun() {
						sent = append(sent, change.GetConfirm())
					}
				}
				if done := test.code == exitDone; done && !slices.Equal(sent, []uint32{2}) || !done && len(sent) > 0 {
					t.Errorf("%s was sent with %v", args[0], sent)
				}
			}
		})
	}
}

func TestUnfreezeOfTheFleetSaysWhichRolloutsGoOn(t *testing.T) {
	t.Parallel()
	b := newRolling(t)
	b.ok("freeze", "--reason", "year's end", "--confirm=2")
	b.hub.changeRollout(t, "ro-7k2f", func(ro *adminv1.Rollout) { ro.Reason, ro.Message = "Frozen", "the fleet is frozen: year's end" })
	b.fails(exitUsage, []string{"ro-7k2f of ks/app goes on to main@sha1:696f056d (sha256:9f3c1a2b)"}, "unfreeze")
}

func TestTargetsSayWhoGetsAnAppAndWhyOthersDoNot(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	b.hub.rolled.targets = &adminv1.ListTargetsResponse{
		Targets: []*adminv1.Target{
			{Cluster: "lab-1", Why: "its labels do not match", Connected: true},
			{Cluster: "prod-1", Labels: map[string]string{"env": "prod"}, Targeted: true, Why: "its labels", Connected: true, Held: "annotation fleet.flotilla.dev/hold",
				Apps: []*adminv1.TargetApp{{App: "Kustomization/apps/app", Release: "sha256:9f3c1a2b00001111", Wave: "canary", Variables: map[string]string{"A": "b"}, Patches: 2}}},
		},
		MissingClusters: []string{"prod-9"},
	}
	r := b.ok("targets", "ks/app")
	want(t, "stdout", r.stdout, `
CLUSTER   TARGETED   WHY                       WAVE     RELEASE           CONNECTED   HELD
prod-1    True       its labels                canary   sha256:9f3c1a2b   True        annotation fleet.flotilla.dev/hold
lab-1     False      its labels do not match   -        -                 True        -`)
	want(t, "stderr", r.stderr, "⚠ cluster prod-9 is not registered\n► 1 of 2 clusters")
	wantTexts(t, "wide", b.ok("targets", "ks/app", "-o", "wide").stdout, "LABELS     VARIABLES   PATCHES   VALUES", "env=prod   A=b         2         -")
	file := b.write("placement.yaml", placementApp[:strings.Index(placementApp, "status:")])
	b.ok("targets", "-f", file)
	requests := requestsOf[*adminv1.ListTargetsRequest](b.hub)
	if q := requests[0]; q.GetKind() != "Kustomization" || q.GetNamespace() != "apps" || q.GetName() != "app" {
		t.Errorf("sent %v", q)
	}
	if q := requests[len(requests)-1]; !strings.Contains(string(q.GetPlacement()), `"matchLabels":{"env":"prod"}`) || q.GetName() != "" {
		t.Errorf("sent %v", q)
	}
	b.fails(exitUsage, []string{"name an app or a placement"}, "targets")
	b.fails(exitUsage, []string{"apps and placements are for clusters"}, "targets", "gitrepo/app")
	b.fails(exitUsage, []string{"is not pl/other"}, "targets", "pl/other", "-f", file)
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

func TestClustersThatDidNotCatchUpAreRetriedThoughTheRolloutIsOver(t *testing.T) {
	t.Parallel()
	b := newRolling(t)
	b.fails(exitPrecondition, []string{"ro-6aaa is over, and ro-7k2f of ks/app is Running", "fleetctl rollout retry-cluster ro-7k2f"}, "rollout", "retry-cluster", "ro-6aaa", "eu-9")
	b.hub.changeRollout(t, "ro-7k2f", succeed)
	want(t, "stdout", b.ok("rollout", "retry-cluster", "ks/app", "eu-9").stdout, rolloutType+"/ro-7k2f tries again: eu-9")
	q := requestsOf[*adminv1.RetryClustersRequest](b.hub)
	if len(q) != 1 || q[0].GetApp().GetId() != "" || q[0].GetApp().GetName() != "app" || q[0].GetClusters()[0] != "eu-9" { // it is about the App
		t.Errorf("sent %v", q)
	}
	b.fails(exitPrecondition, []string{"ro-7k2f of ks/app is over"}, "rollout", "skip-cluster", "ks/app", "eu-9", "-y")
}

func TestClustersThatDidNotCatchUpAreRetriedInAnAppThatNeverHadARollout(t *testing.T) {
	t.Parallel()
	b := newRolling(t)
	b.hub.rolled.rollouts = nil
	b.fails(exitNotFound, []string{"fleetctl rollout plan ks/app"}, "rollout", "pause", "ks/app")
	b.fails(exitNotFound, []string{"fleetctl get rollouts -A"}, "rollout", "retry-cluster", "ro-7k2f", "late")
	r := b.ok("rollout", "retry-cluster", "ks/app", "late")
	want(t, "stdout", r.stdout, "kustomization.kustomize.toolkit.fluxcd.io/app tries again: late")
	wantTexts(t, "stderr", r.stderr, "fleetctl events --for ks/app")
	q := requestsOf[*adminv1.RetryClustersRequest](b.hub)
	if len(q) != 1 || q[0].GetApp().GetId() != "" || q[0].GetApp().GetName() != "app" {
		t.Errorf("sent %v", q)
	}
	b.fails(exitNotFound, []string{"retry clusters of ks/app: "}, "rollout", "retry-cluster", "ks/app", "eu-1")
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

func TestTargetsOfAPlacementWhosePolicyIsNotDeclaredSaySo(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	named := strings.Replace(placementApp, "spec: {", "spec: {rolloutPolicyRef: {name: prod}, ", 1)
	file := b.write("placement.yaml", named[:strings.Index(named, "status:")])
	b.fails(exitUsage, []string{"-f looks at the Placement in the file", "fleetctl targets -f " + file}, "targets", "ks/app", "-f", file)
	b.hub.rolled.targets.Targets = []*adminv1.Target{{Cluster: "prod-1", Targeted: true, Apps: []*adminv1.TargetApp{{App: "Kustomization/apps/app"}}}}
	if r := b.ok("targets", "ks/app"); strings.Contains(r.stderr, "not declared") {
		t.Errorf("stderr:\n%s", r.stderr)
	}
	b.hub.put(t, named)
	for _, args := range []string{"ks/app", "pl/app", "-f " + file} {
		wantTexts(t, args, b.ok(append([]string{"targets"}, strings.Fields(args)...)...).stderr, "RolloutPolicy/prod is not declared: nothing new goes to any cluster until it is, and no waves can be told")
	}
	b.hub.put(t, policyYAML)
	if r := b.ok("targets", "ks/app"); strings.Contains(r.stderr, "not declared") {
		t.Errorf("stderr:\n%s", r.stderr)
	}
}
