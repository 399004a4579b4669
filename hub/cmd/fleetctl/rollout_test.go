package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

const planDigest = "sha256:41ab000011112222333344445555666677778888999900001111222233334444"

func at(minutes int) *timestamppb.Timestamp {
	return timestamppb.New(now.Add(time.Duration(minutes) * time.Minute))
}

// testRollout is one in its second of three waves, with something of everything.
func testRollout() *adminv1.Rollout {
	return &adminv1.Rollout{
		Id: "ro-7k2f", AppKind: "Kustomization", AppNamespace: "apps", AppName: "app", Version: 7, Kind: "Forward", Phase: phaseRunning,
		Target: "sha256:9f3c1a2b00001111222233334444555566667777888899990000111122223333", Revision: "main@sha1:696f056df216eea4f9401adbee0ff744d4df390f",
		Verdict: "Unknown", PlanDigest: planDigest, Policy: []byte(`{"waves":[{"name":"canary"}],"onFailure":{"action":"Rollback"},"cluster":{"retries":1},"windows":[{"cron":"0 8 * * 1-5","timeZone":"Europe/London","duration":"8h"}]}`),
		Reason: "WaitingClusters", Message: "2 clusters are not there yet", Wave: 1, MaxUnavailable: 2, Actor: "system", Created: at(-20), Started: at(-20),
		Totals: &adminv1.RolloutTotals{Size: 9, Pending: 4, InFlight: 1, Succeeded: 2, Failed: 1, Deferred: 1},
		Waves: []*adminv1.RolloutWave{
			{Name: "canary", Phase: "Done", Size: 1, MaxConcurrent: 1, MinUpdated: 1, Entered: at(-20), Totals: &adminv1.RolloutTotals{Size: 1, Succeeded: 1},
				After: []*adminv1.RolloutGate{{Name: "soak", Type: "Soak", Phase: "Passed", Required: durationpb.New(5 * time.Minute)}}},
			{Name: "eu", Phase: "Updating", Size: 5, MaxConcurrent: 2, MaxFailures: 1, MinUpdated: 3, Entered: at(-10),
				Totals: &adminv1.RolloutTotals{Size: 5, Pending: 1, InFlight: 1, Succeeded: 1, Failed: 1, Deferred: 1},
				After:  []*adminv1.RolloutGate{{Name: "prod-go", Type: "Approval", Phase: "Waiting", Approvers: []string{"group:sre"}}}},
			{Name: "rest", Phase: "Pending", Size: 3, MaxConcurrent: 1, MinUpdated: 2, Totals: &adminv1.RolloutTotals{Size: 3, Pending: 3},
				Before: []*adminv1.RolloutGate{{Name: "soak", Type: "Soak", Phase: "Waiting", Required: durationpb.New(90 * time.Second)}}},
		},
	}
}

// testMembers are the clusters of testRollout.
func testMembers() []*adminv1.RolloutCluster {
	return []*adminv1.RolloutCluster{
		{Cluster: "canary-1", Wave: 0, Phase: "Succeeded", Attempt: 1, Connected: true, Available: true, Since: at(-18)},
		{Cluster: "eu-1", Wave: 1, Phase: "Succeeded", Attempt: 1, Connected: true, Available: true, Since: at(-8)},
		{Cluster: "eu-2", Wave: 1, Turn: 1, Phase: "Failed", Failure: "Deadline", Message: "Deployment/apps/web:\n ImagePullBackOff", Attempt: 1, Connected: true, Since: at(-2)},
		{Cluster: "eu-3", Wave: 1, Turn: 2, Phase: "Deferred", Failure: "Offline", WaitsFor: "it to connect", Since: at(-9)},
		{Cluster: "eu-4", Wave: 1, Turn: 3, Phase: "Applying", Attempt: 1, Connected: true, Since: at(-1), DeadlineLeft: durationpb.New(9 * time.Minute), WaitsFor: "it to have applied"},
		{Cluster: "eu-5", Wave: 1, Turn: 4, Phase: "Pending", Connected: true, WaitsFor: "its turn: 2 are under way", Base: "sha256:77aa01c400001111"},
		{Cluster: "us-1", Wave: 2, Phase: "Pending", Connected: true, WaitsFor: "wave eu"},
		{Cluster: "us-2", Wave: 2, Turn: 1, Phase: "Pending", Connected: true, WaitsFor: "wave eu"},
		{Cluster: "us-3", Wave: 2, Turn: 2, Phase: "Pending", Connected: true, WaitsFor: "wave eu"},
	}
}

// newRolling is a fleet with testRollout under way, and one before it that is over.
func newRolling(t *testing.T) *bundle {
	b := newFleet(t)
	b.rolling()
	return b
}

func (b *bundle) rolling() {
	b.hub.putRollout(&adminv1.Rollout{
		Id: "ro-6aaa", AppKind: "Kustomization", AppNamespace: "apps", AppName: "app", Phase: phaseRolledBack, Reason: "FailureBudget", Message: "1 cluster is back; 1 failed",
		Target: "sha256:bad0bad000001111", Revision: "main@sha1:bad0bad0f216eea4f9401adbee0ff744d4df390f", Verdict: "Bad", Actor: "user:admin", Created: at(-90), Started: at(-90), Finished: at(-80),
		Totals: &adminv1.RolloutTotals{Size: 9, RolledBack: 1, HadFailed: 1, Pending: 8},
	})
	b.hub.putRollout(testRollout())
	b.hub.rolled.members = testMembers()
	b.hub.history = []*adminv1.HistoryEntry{
		{Revision: testRollout().GetRevision(), Release: testRollout().GetTarget(), Current: true},
		{Revision: "main@sha1:bad0bad0f216eea4f9401adbee0ff744d4df390f", Release: "sha256:bad0bad000001111"},
	}
}

func TestRolloutStatusIsAScreenOfWavesAndOfWhatEachClusterWaitsFor(t *testing.T) {
	t.Parallel()
	b := newRolling(t)
	const screen = `
ro-7k2f   ks/app -n apps   main@sha1:696f056d (sha256:9f3c1a2b)   by system, 20m ago
◎ Running   ███░░░░░░░░░░░░ 2/9   1 failed   1 deferred
  WaitingClusters: 2 clusters are not there yet
  ✔ wave 1 canary       1/1      10m   ✔ soak
  ◎ wave 2 eu           1/5      10m   1 failed (1 may), 1 deferred
      eu-2   Failed: Deadline: Deployment/apps/web: ImagePullBackOff
      eu-3   Deferred: Offline: waits for it to connect
      eu-4   Applying: waits for it to have applied (9m left)
      eu-5   Pending: waits for its turn: 2 are under way
      gate · prod-go (Approval, after)   Waiting: of group:sre
  · wave 3 rest         0/3            waits for wave eu, then soak 1m30s
  not targeted: lab-1: its labels do not match`
	for _, args := range []string{"ks/app", "ks app", "ro-7k2f", "ro/ro-7k2f", "rollout ro-7k2f", "Kustomization/apps/app"} {
		r := b.ok(append(append([]string{"rollout", "status"}, strings.Fields(args)...), "--watch=false")...)
		want(t, "stdout", r.stdout, screen)
		want(t, "stderr", r.stderr, "")
	}
	next := testRollout()
	next.Id, next.Phase, next.Reason, next.Message, next.Waves = "ro-8bbb", phaseQueued, "NewerCandidate", "waits for ro-7k2f", nil
	b.hub.putRollout(next)
	wantTexts(t, "stdout", b.ok("rollout", "status", "ro-7k2f", "--watch=false").stdout, "\n  queued: ro-8bbb   main@sha1:696f056d (sha256:9f3c1a2b)   NewerCandidate: waits for ro-7k2f\n")
	b.env["LC_ALL"] = "C"
	r := b.ok("rollout", "status", "ro-7k2f", "-w=false", "-o", "wide")
	wantTexts(t, "stdout", r.stdout, ".. Running   ###------------ 2/9", "  ok wave 1 canary ", "  .  wave 3 rest ",
		"us-3       rest     Pending     -       0       True        none              waits for wave eu", "eu-5       eu       Pending     -       0       True        sha256:77aa01c4   waits for its turn")
	if strings.ContainsFunc(r.stdout, func(c rune) bool { return c > 127 }) {
		t.Errorf("without UTF-8:\n%s", r.stdout)
	}
	document := parseJSON(t, b.ok("rollout", "status", "ro-7k2f", "-w=false", "-o", "json").stdout)
	if document["id"] != "ro-7k2f" || len(document["clusters"].([]any)) != 9 || document["policy"].(map[string]any)["onFailure"] == nil {
		t.Errorf("-o json gives %v", document)
	}
}

func TestRolloutThatEndedShowsWhereItStoppedAndHow(t *testing.T) {
	t.Parallel()
	for phase, marks := range map[string]string{
		phaseCancelled: "- wave 2 eu ", phaseSuperseded: "- wave 2 eu ", phaseRolledBack: "✗ wave 2 eu ", phaseRollbackFailed: "✗ wave 2 eu ", phaseHalted: "✗ wave 2 eu ",
	} {
		b := newRolling(t)
		b.hub.changeRollout(t, "ro-7k2f", func(ro *adminv1.Rollout) { ro.Phase, ro.Reason, ro.Message, ro.Finished = phase, "User", "", at(0) })
		r := b.fails(exitFailed, nil, "rollout", "status", "ro-7k2f")
		rest := "not begun"
		if phase == phaseHalted { // it may go on
			rest = "waits for wave eu, then soak 1m30s"
		}
		wantTexts(t, phase, r.stdout, marks, "· wave 3 rest         0/3            "+rest)
		if strings.Contains(r.stdout, "User") {
			t.Errorf("%s: that a person did it says nothing:\n%s", phase, r.stdout)
		}
	}
}

func TestWaveIsOnlyTickedForClustersThatAreThere(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, phase, want string
		totals            *adminv1.RolloutTotals
	}{
		{"there", phaseRunning, "✔ wave 1 canary       1/1", &adminv1.RolloutTotals{Size: 1, Succeeded: 1}},
		{"passed over", phaseRunning, "- wave 1 canary       0/0", &adminv1.RolloutTotals{Size: 1, Skipped: 1}},
		{"on its way back", phaseRollingBack, "✗ wave 1 canary       0/1", &adminv1.RolloutTotals{Size: 1, InFlight: 1}},
		{"rolled back", phaseRolledBack, "✗ wave 1 canary       0/1", &adminv1.RolloutTotals{Size: 1, RolledBack: 1}},
		{"outside of what was rolled back", phaseRolledBack, "✔ wave 1 canary       1/1", &adminv1.RolloutTotals{Size: 1, Succeeded: 1}},
	} {
		b := newRolling(t)
		b.hub.changeRollout(t, "ro-7k2f", func(ro *adminv1.Rollout) { ro.Phase, ro.Waves[0].Totals = test.phase, test.totals })
		wantTexts(t, test.name, b.ok("rollout", "status", "ro-7k2f", "-w=false").stdout, "\n  "+test.want)
	}
}

func TestProgressIsOfTheClustersThatTheRolloutIsStillAbout(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		totals *adminv1.RolloutTotals
		want   string
	}{
		{&adminv1.RolloutTotals{Size: 9, Succeeded: 3, Skipped: 2, Removed: 1, Pending: 3}, "███████░░░░░░░░ 3/6   2 skipped   1 removed"},
		{&adminv1.RolloutTotals{Size: 3, Succeeded: 1, Skipped: 1, Removed: 1}, "███████████████ 1/1   1 skipped   1 removed"},
		{&adminv1.RolloutTotals{Size: 2, Skipped: 2}, "░░░░░░░░░░░░░░░ 0/0   2 skipped"},
		{&adminv1.RolloutTotals{Size: 4, RolledBack: 3, HadFailed: 2, Failed: 1}, "░░░░░░░░░░░░░░░ 0/4   1 failed   3 rolled back   2 had failed"},
		{&adminv1.RolloutTotals{Size: 4, Deferred: 2, RolledBack: 1, Stale: 1, Succeeded: 1}, "███░░░░░░░░░░░░ 1/4   2 deferred   1 rolled back   1 not heard of"},
	} {
		b := newRolling(t)
		b.hub.changeRollout(t, "ro-7k2f", func(ro *adminv1.Rollout) { ro.Totals = test.totals })
		wantTexts(t, "stdout", b.ok("rollout", "status", "ks/app", "-w=false").stdout, "\n◎ Running   "+test.want+"\n")
	}
}

func TestDocumentOfARolloutHasWhatTheHubSays(t *testing.T) {
	t.Parallel()
	b := newRolling(t)
	b.hub.changeRollout(t, "ro-7k2f", func(ro *adminv1.Rollout) {
		approvalDue(ro)
		ro.Totals = &adminv1.RolloutTotals{Size: 11, Pending: 1, InFlight: 2, Succeeded: 3, Failed: 4, Deferred: 5, Skipped: 6, Removed: 7, RolledBack: 8, Unavailable: 9, Stale: 10, HadFailed: 12}
		ro.Waves[1].After[0].Decisions = []*adminv1.RolloutDecision{{Principal: "user:eve", Approve: true, Comment: "go", At: at(-1)}}
		ro.Waves[1].After[0].Measurements = []*adminv1.RolloutMeasurement{{At: at(-2), Cluster: "eu-1", Value: 1.5, Result: "Fail", Message: "1.5 is above max"}}
	})
	b.hub.rolled.members = []*adminv1.RolloutCluster{{
		Cluster: "eu-9", Wave: 1, Turn: 4, Phase: "Succeeded", Failure: "Lost", Message: "m", WaitsFor: "it", Base: "sha256:77aa", Attempt: 3, Connected: true,
		Available: true, Stale: true, HoldsPrune: true, Since: at(-3), DeadlineLeft: durationpb.New(90 * time.Second),
	}}
	document := parseJSON(t, b.ok("rollout", "status", "ks/app", "-w=false", "-o", "json").stdout)
	wave := document["waves"].([]any)[1].(map[string]any)
	totals := map[string]any{"size": 11.0, "pending": 1.0, "inFlight": 2.0, "succeeded": 3.0, "failed": 4.0, "deferred": 5.0, "skipped": 6.0, "removed": 7.0,
		"rolledBack": 8.0, "unavailable": 9.0, "stale": 10.0, "hadFailed": 12.0}
	for what, want := range map[string]any{
		"awaits": "fleetctl rollout approve ro-7k2f --wave eu --gate prod-go", "planDigest": planDigest, "direction": "Forward", "wave": 1.0, "maxUnavailable": 2.0,
		"totals": totals, "notTargeted": []any{map[string]any{"cluster": "lab-1", "why": "its labels do not match"}}, "actor": "system", "startedAt": "2026-03-01T11:40:00Z",
		"clusters": []any{map[string]any{"cluster": "eu-9", "wave": 1.0, "turn": 4.0, "phase": "Succeeded", "failure": "Lost", "message": "m", "waitsFor": "it",
			"base": "sha256:77aa", "attempt": 3.0, "connected": true, "available": true, "stale": true, "holdsPrune": true, "deadlineLeft": "1m30s", "since": "2026-03-01T11:57:00Z"}},
	} {
		if diff := cmp.Diff(want, document[what]); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}
	for what, want := range map[string]any{
		"name": "eu", "phase": "After", "maxConcurrent": 2.0, "maxFailures": 1.0, "minUpdated": 3.0, "enteredAt": "2026-03-01T11:50:00Z", "before": []any{},
		"after": []any{map[string]any{"name": "prod-go", "type": "Approval", "phase": "Running", "detail": "0 of 1 approvals", "approvers": []any{"group:sre"},
			"decisions":    []any{map[string]any{"principal": "user:eve", "approve": true, "comment": "go", "at": "2026-03-01T11:59:00Z"}},
			"measurements": []any{map[string]any{"at": "2026-03-01T11:58:00Z", "cluster": "eu-1", "value": 1.5, "result": "Fail", "message": "1.5 is above max"}}}},
	} {
		if diff := cmp.Diff(want, wave[what]); diff != "" {
			t.Errorf("wave eu: %s: %s", what, diff)
		}
	}
}

func TestRolloutsThatAreNotThereAreToldWithWhereToLook(t *testing.T) {
	t.Parallel()
	b := newRolling(t)
	b.hub.put(t, strings.Replace(ksApp, "name: app, namespace", "name: second, namespace", 1))
	for _, test := range []struct {
		args  string
		code  exitCode
		texts []string
	}{
		{"status ks/nope", exitNotFound, []string{"Kustomization/apps/nope", "fleetctl get kustomizations -A"}},
		{"status ks/second", exitNotFound, []string{"a Rollout of Kustomization/apps/second", "fleetctl rollout plan ks/second -n apps"}},
		{"status ro-nope", exitNotFound, []string{"ro-nope", "fleetctl get rollouts -A"}},
		{"status", exitUsage, []string{"arguments are missing: KIND/NAME|ID"}},
		{"status ks", exitUsage, []string{`"ks" names no object`}},
		{"status gitrepo/app", exitUsage, []string{"only apps are rolled out"}},
		{"status ks/app@prod-1", exitUsage, []string{"leave @prod-1 out"}},
		{"status ro-7k2f ks/app", exitUsage, []string{"ro-7k2f"}},
		{"plan ks/app", exitPrecondition, []string{"names no RolloutPolicy", "fleetctl describe ks/app -n apps"}},
		{"plan ro-7k2f", exitUsage, []string{"ro-7k2f"}},
		{"history ks/nope", exitNotFound, []string{"Kustomization/apps/nope"}},
		{"history ks/app --limit 0", exitUsage, []string{"--limit 0"}},
		{"wait ro-7k2f --revision 696f056d", exitUsage, []string{"--revision is for an app"}},
		{"rollback ks/app --scope some", exitUsage, []string{"Failed, Wave, Updated"}},
		{"rollback ks/app --scope wave --to v1", exitUsage, []string{"--scope is for the rollout under way"}},
		{"skip-gate ks/app --gate prod-go", exitUsage, []string{"--reason is required"}},
		{"retry-cluster ks/app", exitUsage, []string{"which clusters?"}},
		{"skip-cluster ks app", exitUsage, []string{`"ks" names no rollout`}},
		{"resume ro-6aaa", exitPrecondition, []string{"resume: ro-6aaa of ks/app is over: it was rolled back", "fleetctl rollout start ks/app -n apps begins another"}},
		{"cancel ro-6aaa -y", exitPrecondition, []string{"ro-6aaa of ks/app is over"}},
		{"bogus", exitUsage, []string{"unknown command"}},
	} {
		b.fails(test.code, test.texts, append([]string{"rollout"}, strings.Fields(test.args)...)...)
	}
	wantTexts(t, "stderr", b.ok("rollout", "history", "ks/second").stderr, "has had no rollout", "goes to every cluster at once")
}

func TestRolloutHistoryTellsVerdictsWhoAndHowLong(t *testing.T) {
	t.Parallel()
	b := newRolling(t)
	want(t, "stdout", b.ok("rollout", "history", "ks/app").stdout, `
ID        REVISION             PHASE        WAVE     CLUSTERS   FAILED   VERDICT   BEGUN   TOOK   BY           MESSAGE
ro-7k2f   main@sha1:696f056d   Running      2/3 eu   2/9        1        -         20m     20m    system       WaitingClusters: 2 clusters are not there yet
ro-6aaa   main@sha1:bad0bad0   RolledBack   -        0/9        1        Bad       90m     10m    user:admin   FailureBudget: 1 cluster is back; 1 failed`)
	blocked := testRollout()
	blocked.Reason = "AvailabilityBudget" // it may be halted for it, and is not yet
	b.hub.putRollout(blocked)
	wantTexts(t, "stdout", b.ok("rollout", "history", "ks/app").stdout, "1        -         20m     20m    system       AvailabilityBudget: ")
	r := b.ok("rollout", "history", "ks/app", "--limit", "1")
	want(t, "of one of them", b.ok("rollout", "history", "ro-6aaa").stdout, b.ok("rollout", "history", "ks/app").stdout)
	want(t, "list", b.ok("rollout", "ls", "-o", "name").stdout, b.ok("get", "rollouts", "-o", "name").stdout)
	if strings.Contains(r.stdout, "ro-6aaa") {
		t.Errorf("more than was asked for:\n%s", r.stdout)
	}
	wantTexts(t, "stderr", r.stderr, "there are older ones")
}

func TestGetListsRolloutsOfTheNamespaceOrAll(t *testing.T) {
	t.Parallel()
	b := newRolling(t)
	other := testRollout()
	other.Id, other.AppNamespace, other.Phase, other.Verdict = "ro-8bbb", "web", phaseSucceeded, "Good"
	b.hub.putRollout(other)
	want(t, "names", b.ok("get", "rollouts", "-o", "name").stdout, rolloutType+"/ro-7k2f\n"+rolloutType+"/ro-6aaa")
	wantTexts(t, "stdout", b.ok("get", "ro", "-A").stdout, "APP           ID", "ks/web/app    ro-8bbb   main@sha1:696f056d   Succeeded    -        2/9        1        Good")
	want(t, "by id", b.ok("get", "ro", "ro-8bbb", "-o", "name").stdout, rolloutType+"/ro-8bbb")
	if d := parseJSON(t, b.ok("get", "ro/ro-7k2f", "-o", "json").stdout); d["phase"] != "Running" {
		t.Errorf("-o json gives %v", d)
	}
	b.fails(exitNotFound, []string{"ro-zzz"}, "get", "ro", "ro-zzz")
	b.fails(exitUsage, []string{"fleetctl rollout status"}, "get", "ro", "-w")
	b.fails(exitUsage, []string{`"app" is not the id of a rollout`}, "get", "ro", "app")
	wantTexts(t, "stderr", b.ok("get", "ro", "-n", "empty").stderr, "No rollouts found in namespace empty")
}

func TestStatusShowsRolloutsInFlightAndWhatIsFrozen(t *testing.T) {
	t.Parallel()
	b := newRolling(t)
	waits := testRollout()
	approvalDue(waits)
	waits.Id, waits.AppNamespace = "ro-8bbb", "web"
	b.hub.putRollout(waits)
	b.ok("freeze", "--reason", "year's end", "--confirm=2")
	b.ok("freeze", "prod-1", "--reason", "network")
	want(t, "stdout", b.ok("status").stdout, `
FLEET test   hub
CLUSTERS   0   ✔ 0 ready
SOURCES    0   ✔ 0 ready
APPS       0   ✔ 0 ready
ROLLOUTS
  ◎ Running   ro-8bbb ks/web/app   main@sha1:696f056d   wave 2/3 eu   ███░░░░░░░░░░░░ 2/9   1 failed   1 deferred   WaitingGate: wave eu: gate prod-go: 0 of 1 approvals, of group:sre   → fleetctl rollout approve ro-8bbb --wave eu --gate prod-go
  ◎ Running   ro-7k2f ks/apps/app   main@sha1:696f056d   wave 2/3 eu   ███░░░░░░░░░░░░ 2/9   1 failed   1 deferred   WaitingClusters: 2 clusters are not there yet   → fleetctl rollout status ro-7k2f
FROZEN     the fleet, by user:admin for 0s: year's end   → fleetctl unfreeze
FROZEN     prod-1   → fleetctl freeze --show`)
	document := parseJSON(t, b.ok("status", "-o", "json").stdout)
	if first := document["rollouts"].([]any)[0].(map[string]any); first["awaits"] != "fleetctl rollout approve ro-8bbb --wave eu --gate prod-go" {
		t.Errorf("-o json gives %v", first)
	}
	if len(document["rollouts"].([]any)) != 2 || document["frozen"].(map[string]any)["fleet"] == nil {
		t.Errorf("-o json gives %v", document)
	}
	b.hub.fail("ListRollouts", status.Error(codes.Unimplemented, "unknown service"))
	if r := b.ok("status"); strings.Contains(r.stdout, "ROLLOUTS") {
		t.Errorf("of a hub that is older:\n%s", r.stdout)
	}
}

func TestDescribeTellsOfRolloutsAndWhoUsesAPolicy(t *testing.T) {
	t.Parallel()
	b := newRolling(t)
	wantTexts(t, "app", b.ok("describe", "ks/app").stdout, "Stable:       main@sha1:0ld0000df216eea4f9401adbee0ff744d4df390f (sha256:57ab1e00)\n", "Rollouts:\n  ◎ Running   ro-7k2f ks/apps/app   main@sha1:696f056d   wave 2/3 eu", "  ✗ RolledBack   ro-6aaa   main@sha1:bad0bad0 (sha256:bad0bad0)   0/9   80m ago")
	turn := testMembers()[5]
	turn.Cluster = "prod-1"
	b.hub.rolled.members = append(b.hub.rolled.members, turn)
	wantTexts(t, "instance", b.ok("describe", "ks/app@prod-1").stdout, "Rollouts:\n  ◎ Running   ro-7k2f", "\n  prod-1 in wave eu: Pending: waits for its turn: 2 are under way\n")
	if d := parseJSON(t, b.ok("describe", "ks/app@prod-1", "-o", "json").stdout); d["turn"].(map[string]any)["phase"] != "Pending" {
		t.Errorf("-o json gives %v", d)
	}
	b.hub.put(t, policyYAML+"---\n"+strings.Replace(placementApp, "spec: {", "spec: {rolloutPolicyRef: {name: prod}, ", 1))
	wantTexts(t, "policy", b.ok("describe", "rp/prod").stdout, "Used by:\n  pl/apps/app for ks/app\n", "Rollouts:\n  ◎ Running   ro-7k2f")
	b.hub.put(t, strings.Replace(policyYAML, "name: prod", "name: lab", 1))
	wantTexts(t, "policy", b.ok("describe", "rp/lab").stdout, "no Placement: spec.rolloutPolicyRef of one names it")
	want(t, "policies", b.ok("get", "rp", "-o", "wide").stdout, `
NAME   WAVES         GATES   MAX UNAVAILABLE   ON FAILURE   WINDOWS   AGE   ON NEW REVISION   UNMATCHED   AUTO START
lab    canary,rest   0       10%               Halt         0         -     Queue             Last        True
prod   canary,rest   0       10%               Halt         0         -     Queue             Last        True`)
	wantTexts(t, "placements", b.ok("get", "pl", "-o", "wide").stdout, "POLICY", "prod")
	b.hub.fail("ListRollouts", status.Error(codes.Unimplemented, "unknown service"))
	b.ok("describe", "ks/app")
}

func TestWhatAClusterWaitsForIsToldOnce(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ phase, message, waits, want string }{
		{"Applying", "a held prune to be approved: 3 objects", "a held prune to be approved: 3 objects", "a held prune to be approved: 3 objects"},
		{"RollingBack", "Deployment/apps/web: 0 of 1", "what it had before to be there: Deployment/apps/web: 0 of 1", "waits for what it had before to be there: Deployment/apps/web: 0 of 1"},
		{"Pending", "waits for ks/db", "ks/db", "waits for ks/db"}, // an older hub has both
		{"Pending", "", "ks/db", "waits for ks/db"},
		{"Pending", "is not available", "the Rollout, which is Paused", "is not available: waits for the Rollout, which is Paused"},
		{"Failed", "no such image", "somebody to retry it", "no such image"},
	} {
		b := newRolling(t)
		b.hub.rolled.members = []*adminv1.RolloutCluster{{Cluster: "eu-1", Wave: 1, Phase: test.phase, Message: test.message, WaitsFor: test.waits}}
		wantTexts(t, test.phase, b.ok("rollout", "status", "ro-7k2f", "-w=false").stdout, "\n      eu-1   "+test.phase+": "+test.want+"\n")
	}
}
