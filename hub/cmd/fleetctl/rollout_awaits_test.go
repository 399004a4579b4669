package main

import (
	"slices"
	"strings"
	"testing"

	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// holding has clusters of testRollout wait for a held prune.
func holding(b *bundle, clusters ...string) {
	b.hub.rolled.members = nil
	for _, name := range clusters {
		b.hub.rolled.members = append(b.hub.rolled.members, &adminv1.RolloutCluster{Cluster: name, Wave: 1, Phase: "Applying", Connected: true,
			Message: "a held prune to be approved: 3 objects", WaitsFor: "a held prune to be approved: 3 objects", HoldsPrune: true})
	}
}

func TestRolloutWhoseClustersAllWaitForAHeldPruneWaitsForAPerson(t *testing.T) {
	t.Parallel()
	b := newRolling(t)
	holding(b, "eu-4")
	const one = "fleetctl prune show ks/app@eu-4 -n apps, and fleetctl prune approve ks/app@eu-4 -n apps"
	b.fails(exitPerson, []string{"ro-7k2f of ks/app waits for a person", "try: " + one}, "rollout", "wait", "ks/app")
	wantTexts(t, "status", b.ok("rollout", "status", "ks/app", "-w=false").stdout, "\n→ "+one+"\n")
	if d := parseJSON(t, b.ok("rollout", "status", "ks/app", "-w=false", "-o", "json").stdout); d["awaits"] != one {
		t.Errorf("-o json gives %v", d["awaits"])
	}
	r := b.start("rollout", "status", "ks/app", "-o", "json")
	r.stdout.says(t, "\n")
	r.interrupt()
	r.wait()
	if d := parseJSON(t, r.stdout.String()); d["awaits"] != one {
		t.Errorf("one that follows gives %v", d["awaits"])
	}
	b.fails(exitTimeout, []string{"not yet"}, "rollout", "wait", "ks/app", "--through-pauses", "--timeout", "0")
	holding(b, "eu-4", "eu-5", "eu-6")
	b.fails(exitPerson, []string{"try: fleetctl prune show ks/app -n apps, and fleetctl prune approve ks/app -n apps"}, "rollout", "wait", "ks/app")
	b.hub.rolled.members[2].HoldsPrune = false // somebody has approved it, and it does not say so yet
	b.fails(exitTimeout, []string{"not yet"}, "rollout", "wait", "ks/app", "--timeout", "0")
}

func TestRolloutBehindOneThatWaitsForAPersonSaysWhatThatWaitsFor(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, next string
		change     func(*adminv1.Rollout)
	}{
		{"an approval", "fleetctl rollout approve ro-7k2f --wave eu --gate prod-go; or fleetctl rollout reject ro-7k2f --wave eu --gate prod-go, or fleetctl rollout cancel ro-7k2f: then ro-8bbb begins", approvalDue},
		{"paused", "fleetctl rollout resume ro-7k2f; or fleetctl rollout cancel ro-7k2f: then ro-8bbb begins",
			func(ro *adminv1.Rollout) { ro.Phase, ro.Reason, ro.Message = phasePaused, "User", "incident" }},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newRolling(t)
			waits := testRollout()
			waits.Id, waits.Phase, waits.Reason, waits.Message, waits.Waves, waits.Totals = "ro-8bbb", phaseQueued, "NewerCandidate", "waits for ro-7k2f", nil, nil
			b.hub.putRollout(waits)
			b.fails(exitTimeout, []string{"not yet"}, "rollout", "wait", "ro-8bbb", "--timeout", "0")
			r := b.start("rollout", "wait", "ro-8bbb")
			r.stderr.says(t, "waits for ro-7k2f")
			b.hub.changeRollout(t, "ro-7k2f", test.change) // which is no change of ro-8bbb
			if code := r.wait(); code != int(exitPerson) {
				t.Errorf("exit %d: %s", code, r.stderr)
			}
			wantTexts(t, "stderr", r.stderr.String(), "ro-8bbb of ks/app waits for a person", "ro-7k2f ks/app: ", "try: "+test.next)
			for _, id := range []string{"ro-8bbb", "ro-7k2f"} {
				wantTexts(t, id, b.ok("rollout", "status", id, "-w=false").stdout, "\n→ "+test.next+"\n")
			}
			wantTexts(t, "behind", b.ok("rollout", "status", "ro-8bbb", "-w=false").stdout, "\n  behind: ro-7k2f ks/app: ")
		})
	}
}

func TestRolloutThatLacksOnlyClustersThatAreFrozenByNameWaitsForAPerson(t *testing.T) {
	t.Parallel()
	uncovered := func(ro *adminv1.Rollout) {
		ro.Reason, ro.Message = "InsufficientCoverage", "wave eu: 1 of 3 clusters are decided, 2 are needed"
	}
	lacks := func(b *bundle, cluster, failure string) {
		b.hub.rolled.members = append(b.hub.rolled.members, &adminv1.RolloutCluster{Cluster: cluster, Wave: 1, Phase: "Deferred", Failure: failure})
	}
	b := newRolling(t)
	b.hub.rolled.members = nil
	b.hub.changeRollout(t, "ro-7k2f", uncovered)
	b.ok("freeze", "prod-1", "--reason", "network")
	lacks(b, "prod-1", "Held")
	const next = "fleetctl unfreeze prod-1, or fleetctl rollout skip-cluster ro-7k2f prod-1"
	b.fails(exitPerson, []string{"try: " + next}, "rollout", "wait", "ks/app")
	wantTexts(t, "status", b.ok("rollout", "status", "ks/app", "-w=false").stdout, "\n→ "+next+"\n")
	lacks(b, "prod-2", "Offline")
	b.fails(exitTimeout, []string{"not yet"}, "rollout", "wait", "ks/app", "--timeout", "0")
	b.ok("freeze", "prod-2", "--reason", "network")
	b.fails(exitPerson, []string{"try: fleetctl unfreeze prod-1 prod-2, or"}, "rollout", "wait", "ks/app")
	b.hub.changeRollout(t, "ro-7k2f", func(ro *adminv1.Rollout) { ro.Phase = phasePaused })
	b.fails(exitPerson, []string{"try: fleetctl unfreeze prod-1 prod-2, and fleetctl rollout resume ro-7k2f"}, "rollout", "wait", "ks/app")
}

func TestRolloutThatIsHaltedSaysWhatMendsIt(t *testing.T) {
	t.Parallel()
	const resume = "fleetctl rollout resume ro-7k2f, since its cause is gone; or fleetctl rollout rollback ro-7k2f"
	failed := func(phase string) func(*adminv1.Rollout) {
		return func(ro *adminv1.Rollout) {
			ro.Phase, ro.Reason, ro.Message = phaseHalted, "GateFailed", "gate prod-go: no"
			ro.Waves[1].After[0].Type, ro.Waves[1].After[0].Phase = "Analysis", phase
		}
	}
	rejected := func(phase string) func(*adminv1.Rollout) {
		return func(ro *adminv1.Rollout) {
			approvalDue(ro)
			ro.Phase, ro.Reason = phaseHalted, "ApprovalRejected"
			ro.Waves[1].After[0].Phase, ro.Waves[1].After[0].Decisions = phase, []*adminv1.RolloutDecision{{Principal: "user:eve"}}
		}
	}
	budget := func(failed int32) func(*adminv1.Rollout) {
		return func(ro *adminv1.Rollout) {
			ro.Phase, ro.Reason, ro.Waves[1].Totals.Failed = phaseHalted, "FailureBudget", failed
		}
	}
	for _, test := range []struct {
		name, next string
		change     func(*adminv1.Rollout)
	}{
		{"a gate", "fleetctl rollout rollback ro-7k2f; or when its cause is gone, fleetctl rollout resume ro-7k2f --retry-gate", failed("Failed")},
		{"a gate that was skipped", resume, failed("Overridden")},
		{"rejected", "fleetctl rollout rollback ro-7k2f; or fleetctl rollout skip-gate ro-7k2f", rejected("Running")},
		{"rejected and skipped", resume, rejected("Overridden")},
		{"failures", "fleetctl rollout rollback ro-7k2f; or when its cause is gone, retry-cluster or skip-cluster", budget(2)},
		{"failures that are tried again", resume, budget(1)},
	} {
		b := newRolling(t)
		b.hub.changeRollout(t, "ro-7k2f", test.change)
		wantTexts(t, test.name, b.ok("rollout", "status", "ks/app", "-w=false").stdout, "\n→ "+test.next)
		r := b.fails(exitFailed, []string{"try: " + test.next}, "rollout", "status", "ks/app")
		if strings.Contains(r.stdout, "→") {
			t.Errorf("%s: it is told twice:\n%s", test.name, r.stdout)
		}
	}
}

func TestRolloutThatIsPausedForAnApprovalWantsThatFirst(t *testing.T) {
	t.Parallel()
	b := newRolling(t)
	b.hub.changeRollout(t, "ro-7k2f", func(ro *adminv1.Rollout) {
		approvalDue(ro)
		ro.Phase, ro.Reason, ro.Message = phasePaused, "ApprovalTimeout", "gate prod-go: 0 of 1 approvals in 1h"
	})
	wantTexts(t, "status", b.ok("rollout", "status", "ks/app", "-w=false").stdout,
		"\n→ fleetctl rollout approve ro-7k2f --wave eu --gate prod-go, or fleetctl rollout skip-gate ro-7k2f --wave eu --gate prod-go --reason TEXT; and then fleetctl rollout resume ro-7k2f\n")
	b.hub.changeRollout(t, "ro-7k2f", func(ro *adminv1.Rollout) {
		ro.Waves[1].After[0].Decisions = []*adminv1.RolloutDecision{{Principal: "user:eve", Approve: true}}
	})
	wantTexts(t, "status", b.ok("rollout", "status", "ks/app", "-w=false").stdout, "\n→ fleetctl rollout resume ro-7k2f\n")
}

// asked are the pages of clusters in these phases that the hub was asked for, by size.
func asked(b *bundle, phases ...string) (sizes []int32) {
	for _, r := range requestsOf[*adminv1.ListRolloutClustersRequest](b.hub) {
		if slices.Equal(r.GetPhases(), phases) {
			sizes = append(sizes, r.GetPageSize())
		}
	}
	return sizes
}

func TestWhatARolloutWaitsForIsLookedUpInFewClusters(t *testing.T) {
	t.Parallel()
	uncovered := func(ro *adminv1.Rollout) { ro.Reason = "InsufficientCoverage" }
	over := func(reason string) func(*adminv1.Rollout) {
		return func(ro *adminv1.Rollout) { ro.Phase, ro.Reason = phaseSuperseded, reason }
	}
	for _, test := range []struct {
		name, args string
		change     func(*adminv1.Rollout)
		phases     []string
		want       []int32
	}{
		{"whose first cluster waits for nobody", "wait ro-7k2f --timeout 0", nil, flightPhases, []int32{1, maxShown}}, // and what is missing
		{"that is drawn", "status ro-7k2f -w=false", nil, flightPhases, []int32{maxShown}},
		{"that is drawn in full", "status ro-7k2f -w=false -o json", nil, flightPhases, nil},
		{"that lacks one that is not frozen", "wait ro-7k2f --timeout 0", uncovered, []string{"Deferred"}, []int32{1}},
		{"that is over", "status ro-7k2f -w=false", over("WaitingClusters"), flightPhases, nil},
		{"that is over, for lack of clusters", "status ro-7k2f -w=false", over("InsufficientCoverage"), []string{"Deferred"}, nil},
	} {
		b := newRolling(t)
		b.hub.rolled.frozen.Clusters = []*adminv1.FreezeState{{Cluster: "prod-1"}}
		for _, name := range []string{"eu-6", "eu-7", "eu-8"} {
			b.hub.rolled.members = append(b.hub.rolled.members, &adminv1.RolloutCluster{Cluster: name, Wave: 1, Phase: "Applying", WaitsFor: "its objects to be applied"},
				&adminv1.RolloutCluster{Cluster: name + "-away", Wave: 1, Phase: "Deferred", Failure: "Offline"})
		}
		if test.change != nil {
			b.hub.changeRollout(t, "ro-7k2f", test.change)
		}
		b.run(append([]string{"rollout"}, strings.Fields(test.args)...)...)
		if sizes := asked(b, test.phases...); !slices.Equal(sizes, test.want) {
			t.Errorf("%s: asked for pages of %v, not %v", test.name, sizes, test.want)
		}
	}
	b := newRolling(t)
	b.hub.changeRollout(t, "ro-7k2f", over("NewerCandidate"))
	b.ok("rollout", "status", "ro-7k2f", "-w=false")
	if n := len(requestsOf[*adminv1.GetRolloutRequest](b.hub)); n != 1 {
		t.Errorf("asked %d times for a rollout", n)
	}
}
