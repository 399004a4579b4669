package e2e

import (
	"fmt"
	"strings"
	"testing"

	"flotilla.dev/flotilla/test/lab"
)

// A Rollout waits for a person before prod, and goes on with the policy that it began with, whatever that becomes; what
// is no part of a Release takes effect at once meanwhile.
func TestApprovalIsWaitedForAndThePolicyOfTheBeginningHolds(t *testing.T) {
	t.Parallel()
	fleet := lab.TestFleet(t)
	const approved = canaryFirst + "  cluster: {progressDeadline: 2m}\n"
	withGate := strings.Replace(approved, "- {name: prod,", "- {name: prod, before: [{approval: {name: go}}],", 1)
	a := newRolled(t, fleet, "approval", approved)
	a.policy("approval", withGate)
	commit := a.rolls(a.web("1", ""))
	a.ends(commit, 9, "approval")
	a.runs(fleet.Member("canary-1"), "1")
	prod := fleet.Member("prod-1")
	a.runs(prod, "first")

	// A policy without the gate is for the next one.
	a.policy("approval", approved)
	a.fleetctl("suspend", "ks/app")
	for _, m := range fleet.Members {
		lab.Eventually(t, patience, m.Name()+" is suspended", func() error {
			if got := a.fleetctl("get", "ks/app@"+m.Name()); !strings.Contains(strings.ToLower(got), "suspended") {
				return fmt.Errorf("%s", got)
			}
			return nil
		})
	}
	a.fleetctl("resume", "ks/app")
	a.ends(commit, 9, "approval")
	a.runs(prod, "first")
	waiting, err := a.rollout()
	if err != nil || waiting.Totals.Succeeded != 1 {
		t.Errorf("while it waits for approval: %s, error %v", waiting, err)
	}

	a.fleetctl("rollout", "approve", "ks/app", "--yes", "--comment", "looks good")
	a.succeeds(commit)
	for _, m := range fleet.Members {
		a.runs(m, "1")
	}
	r, err := a.rollout()
	if err != nil || r.ID != waiting.ID || r.Waves[1].Before[0].Phase != "Passed" {
		t.Errorf("after the approval: %s, gates %+v, error %v", r, r.Waves, err)
	}
	a.succeeds(a.rolls(a.web("2", ""))) // without a gate, by the policy as it is
}

// A word against it halts a Rollout, and a person takes it back. Why is told.
func TestRejectedRolloutIsHaltedUntilSomebodyTakesItBack(t *testing.T) {
	t.Parallel()
	fleet := lab.TestFleet(t)
	a := newRolled(t, fleet, "rejected", canaryFirst)
	a.policy("rejected", strings.Replace(canaryFirst, "- {name: prod,", "- {name: prod, before: [{approval: {}}],", 1))
	commit := a.rolls(a.web("1", ""))
	a.ends(commit, 9, "approval")
	a.fleetctl("rollout", "reject", "ks/app", "--yes", "--comment", "not today")
	a.ends(commit, 7, "not today")
	a.runs(fleet.Member("canary-1"), "1")
	a.fleetctl("rollout", "rollback", "ks/app", "--yes", "--reason", "incident 4711", "--wait", "--timeout", patience.String())
	for _, m := range fleet.Members {
		a.runs(m, "first")
	}
	if r, err := a.rollout(); err != nil || r.Phase != "RolledBack" || r.cluster("prod-1") != "Pending" {
		t.Errorf("taken back: %s, error %v", r, err)
	}
	a.fleetctl("rollout", "start", "ks/app", "--yes", "--reason", "ticket 12")
	for _, told := range []struct{ by, what string }{
		{a.fleetctl("rollout", "history", "ks/app"), "1 cluster is back; incident 4711"},
		{a.fleetctl("rollout", "history", "ks/app"), "change cause: ticket 12"},
		{a.fleetctl("rollout", "status", "ks/app", "--watch=false"), "change cause: ticket 12"},
		{a.fleetctl("events", "--for", "ks/app"), ", by user:admin: wave prod: gate approval: not today"},
		{a.fleetctl("events", "--for", "ks/app"), ", by user:admin: incident 4711"},
	} {
		if !strings.Contains(told.by, told.what) {
			t.Errorf("nobody reads %q in\n%s", told.what, told.by)
		}
	}
}
