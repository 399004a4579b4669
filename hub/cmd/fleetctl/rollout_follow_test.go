package main

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// succeed is a change of a Rollout to its end.
func succeed(ro *adminv1.Rollout) {
	ro.Phase, ro.Reason, ro.Message, ro.Wave, ro.Finished = phaseSucceeded, "", "", 3, at(0)
	ro.Totals = &adminv1.RolloutTotals{Size: 9, Succeeded: 8, Deferred: 1}
	for _, w := range ro.GetWaves() {
		w.Phase = "Done"
	}
}

func rollBack(ro *adminv1.Rollout) {
	ro.Phase, ro.Reason, ro.Message, ro.Finished = phaseRolledBack, "FailureBudget", "3 clusters are back; 2 failed", at(0)
}

// approvalDue is a change of a Rollout to the approval of its second wave.
func approvalDue(ro *adminv1.Rollout) {
	ro.Reason, ro.Message = "WaitingGate", "wave eu: gate prod-go: 0 of 1 approvals"
	ro.Waves[1].Phase, ro.Waves[1].After[0].Phase, ro.Waves[1].After[0].Detail = "After", "Running", "0 of 1 approvals"
}

func TestRolloutStatusInAPipeIsALineForEachChangeAndTheScreenAtTheEnd(t *testing.T) {
	t.Parallel()
	b := newRolling(t)
	r := b.start("rollout", "status", "ks/app")
	r.stdout.says(t, "2 clusters are not there yet\n")
	b.hub.changeRollout(t, "ro-7k2f", func(ro *adminv1.Rollout) {}, // a step that changes nothing that one sees
		&adminv1.RolloutEvent{Type: "ClusterVerifying", Cluster: "eu-4"},
		&adminv1.RolloutEvent{Type: "ClusterFailed", Cluster: "eu-4", Reason: "Unhealthy", Message: "CrashLoopBackOff"})
	r.stdout.says(t, "CrashLoopBackOff")
	b.hub.changeRollout(t, "ro-7k2f", approvalDue)
	r.stdout.says(t, "→ fleetctl rollout approve ro-7k2f --wave eu --gate prod-go")
	b.hub.changeRollout(t, "ro-7k2f", succeed, &adminv1.RolloutEvent{Type: "Approved", Wave: "eu", Gate: "prod-go", Actor: "user:admin", Message: "go"})
	if code := r.wait(); code != 0 {
		t.Errorf("exit %d: %s", code, r.stderr)
	}
	log, screen, _ := strings.Cut(r.stdout.String(), "\n\n")
	want(t, "log", log, `
2026-03-01T12:00:00Z ro-7k2f ks/app: Running in wave 2/3 eu, 2/9 clusters updated, 1 failed, 1 deferred; WaitingClusters: 2 clusters are not there yet
2026-03-01T12:00:01Z ClusterFailed eu-4 Unhealthy: CrashLoopBackOff
2026-03-01T12:00:00Z ro-7k2f ks/app: Running in wave 2/3 eu, 2/9 clusters updated, 1 failed, 1 deferred; WaitingGate: wave eu: gate prod-go: 0 of 1 approvals, of group:sre → fleetctl rollout approve ro-7k2f --wave eu --gate prod-go
2026-03-01T12:00:02Z Approved eu/prod-go by user:admin: go
2026-03-01T12:00:00Z ro-7k2f ks/app: Succeeded, 8/9 clusters updated, 1 deferred`)
	wantTexts(t, "screen", screen, "✔ Succeeded   █████████████░░ 8/9   1 deferred", "took 20m")
	want(t, "stderr", r.stderr.String(), "")
}

func TestRolloutStatusOnATerminalIsDrawnAnewAndEndsWithWhatCameOfIt(t *testing.T) {
	t.Parallel()
	b := newRolling(t)
	b.screen = true
	r := b.start("rollout", "status", "ks/app", "--color=never")
	r.stdout.says(t, "\x1b[H\x1b[2Jro-7k2f   ks/app -n apps")
	b.hub.fail("GetRollout", status.Error(codes.Unavailable, "the hub is down"))
	r.stderr.says(t, "the connection to the hub is lost")
	for _, code := range []codes.Code{codes.Internal, codes.DeadlineExceeded, codes.ResourceExhausted} { // as a stream is followed through
		b.hub.fail("ListRolloutClusters", status.Error(code, "not now"))
		b.hub.fail("GetRollout", status.Error(code, "not now"))
		r.waitsFor(t, b, 2)
	}
	b.hub.fail("ListRolloutClusters", nil)
	b.hub.fail("GetRollout", nil)
	b.hub.changeRollout(t, "ro-7k2f", rollBack)
	if code := r.wait(); code != int(exitFailed) {
		t.Errorf("exit %d", code)
	}
	if n := strings.Count(r.stderr.String(), "the connection to the hub is lost"); n != 1 {
		t.Errorf("said %d times:\n%s", n, r.stderr)
	}
	screens := strings.Split(r.stdout.String(), "\x1b[H\x1b[2J")
	wantTexts(t, "the last screen", screens[len(screens)-1], "✗ RolledBack", "FailureBudget: 3 clusters are back")
	wantTexts(t, "stderr", r.stderr.String(), "Error: ro-7k2f of ks/app was rolled back\n  FailureBudget: 3 clusters are back; 2 failed\n  eu-2: Deadline: Deployment/apps/web: ImagePullBackOff\n",
		"this one does not start by itself again")
}

func TestLeavingARolloutSaysHowToComeBack(t *testing.T) {
	t.Parallel()
	for _, args := range []string{"status ks/app", "watch ks/app", "wait ks/app"} {
		for _, screen := range []bool{false, true} {
			b := newRolling(t)
			b.screen = screen
			r := b.start(append([]string{"rollout"}, strings.Fields(args)...)...)
			switch {
			case strings.HasPrefix(args, "wait"):
				r.stderr.says(t, "ro-7k2f")
			case strings.HasPrefix(args, "watch"):
				b.hub.changeRollout(t, "ro-7k2f", func(*adminv1.Rollout) {}, &adminv1.RolloutEvent{Type: "Started"})
				r.stdout.says(t, "Started")
			default:
				r.stdout.says(t, "ro-7k2f")
			}
			r.interrupt()
			if code := r.wait(); code != int(exitInterrupted) {
				t.Errorf("%s: exit %d", args, code)
			}
			wantTexts(t, args, r.stderr.String(), "ro-7k2f goes on at the hub; follow it with: fleetctl rollout status ro-7k2f")
			if strings.Contains(r.stderr.String(), "Error") {
				t.Errorf("%s: leaving is told as an error:\n%s", args, r.stderr)
			}
		}
	}
}

func TestFollowedRolloutIsAStreamOfDocuments(t *testing.T) {
	t.Parallel()
	b := newRolling(t)
	r := b.start("rollout", "status", "ks/app", "-o", "json")
	r.stdout.says(t, `"phase":"Running"`)
	b.hub.changeRollout(t, "ro-7k2f", succeed)
	if code := r.wait(); code != 0 {
		t.Errorf("exit %d", code)
	}
	lines := strings.Split(strings.TrimSpace(r.stdout.String()), "\n")
	if len(lines) != 2 || parseJSON(t, lines[1])["phase"] != phaseSucceeded {
		t.Errorf("want a document at first and one a change:\n%s", r.stdout)
	}
	if clusters, _ := parseJSON(t, lines[1])["clusters"].([]any); len(clusters) != 9 { // as of one that was over already
		t.Errorf("the last document has %d clusters:\n%s", len(clusters), lines[1])
	}
}

func TestRolloutWatchPrintsEachEventOnceThoughTheConnectionBreaks(t *testing.T) {
	t.Parallel()
	b := newRolling(t)
	b.hub.putRollout(testRollout(), &adminv1.RolloutEvent{Type: "Started", Message: "9 clusters in 3 waves"}, &adminv1.RolloutEvent{Type: "ClusterDispatched", Cluster: "canary-1"})
	r := b.start("rollout", "watch", "ks/app")
	r.stdout.says(t, "canary-1")
	b.hub.fail("WatchRollout", status.Error(codes.Unavailable, "the hub is down"))
	b.hub.cutStreams()
	r.stderr.says(t, "the connection to the hub is lost")
	b.hub.changeRollout(t, "ro-7k2f", func(*adminv1.Rollout) {}, &adminv1.RolloutEvent{Type: "GateOpened", Wave: "canary", Gate: "soak"})
	b.hub.fail("WatchRollout", nil)
	r.stdout.says(t, "GateOpened")
	b.hub.changeRollout(t, "ro-7k2f", succeed, &adminv1.RolloutEvent{Type: "Succeeded"})
	if code := r.wait(); code != 0 {
		t.Errorf("exit %d: %s", code, r.stderr)
	}
	want(t, "stdout", r.stdout.String(), `
AT                     NUMBER   TYPE                ABOUT      ACTOR   REASON   MESSAGE
2026-03-01T12:00:00Z   1        Started             -          -       -        9 clusters in 3 waves
2026-03-01T12:00:01Z   2        ClusterDispatched   canary-1   -       -        -
2026-03-01T12:00:02Z   3        GateOpened          canary/soak   -       -        -
2026-03-01T12:00:03Z   4        Succeeded           -             -       -        -`)
	if after := b.hub.rolled.after; after[0] != 0 || after[1] != 2 {
		t.Errorf("watched from %v: the second time it goes on from where it was", after)
	}
	again := b.ok("rollout", "watch", "ro-7k2f", "--after", "2", "-o", "json") // it is over: all that is left is told
	if lines := strings.Count(again.stdout, "\n"); lines != 2 {
		t.Errorf("%d events:\n%s", lines, again.stdout)
	}
}

func TestRolloutWatchTellsTheLastEventsOfOneThatIsOverHoweverManyThereAre(t *testing.T) {
	t.Parallel()
	b := newRolling(t)
	b.hub.rolled.part = 2
	var events []*adminv1.RolloutEvent
	for range 5 {
		events = append(events, &adminv1.RolloutEvent{Type: "ClusterSucceeded", Cluster: "eu-4"})
	}
	b.hub.changeRollout(t, "ro-7k2f", succeed, events...)
	if lines := strings.Count(b.ok("rollout", "watch", "ro-7k2f", "--no-headers").stdout, "\n"); lines != 5 {
		t.Errorf("%d events of 5 are told", lines)
	}
}

// waitsFor waits until so many more calls came to read the Rollout.
func (r *running) waitsFor(t *testing.T, b *bundle, calls int) {
	t.Helper()
	from := len(requestsOf[*adminv1.GetRolloutRequest](b.hub))
	for end := time.Now().Add(20 * time.Second); len(requestsOf[*adminv1.GetRolloutRequest](b.hub)) < from+calls; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it is not looked at any more: %s", r.stderr)
		}
	}
}

func TestWhatAPersonDidAndWhyIsALineOfItsOwn(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		event *adminv1.RolloutEvent
		told  bool
	}{
		{&adminv1.RolloutEvent{Type: "Started", Actor: "user:a", Message: "9 clusters in 3 waves; reason: ticket 12"}, true},
		{&adminv1.RolloutEvent{Type: "Started", Actor: "system", Message: "9 clusters in 3 waves"}, false},
		{&adminv1.RolloutEvent{Type: "Running", Actor: "user:a", Message: "eu-9 is being rebuilt"}, true},
		{&adminv1.RolloutEvent{Type: "ClusterPending", Cluster: "eu-7", Actor: "user:a", Message: "the disk is mended"}, true},
		{&adminv1.RolloutEvent{Type: "ClusterPending", Cluster: "eu-7"}, false},
	} {
		if notableEvent(test.event) != test.told {
			t.Errorf("told is not %v: %v", test.told, test.event)
		}
	}
}
