package e2e

import (
	"errors"
	"strings"
	"testing"

	"flotilla.dev/flotilla/test/lab"
)

// A HelmRelease goes through waves as other Apps do: one that breaks is stopped at the canary.
func TestReleaseGoesThroughWaves(t *testing.T) {
	t.Parallel()
	fleet := lab.TestFleet(t)
	a, _, _ := newReleases(t, fleet)
	a.policy("releases", canaryFirst+"  cluster: {progressDeadline: 30s}\n  onFailure: {action: Rollback}\n")
	begun := map[string]bool{}
	// roll gives the release values, and waits until the Rollout of that has come to its end.
	roll := func(values, phase string) {
		t.Helper()
		declared := a.released("web", ofArtifact, values)
		a.apply(strings.Replace(declared, "spec:\n  apps: [", "spec:\n  rolloutPolicyRef: {name: releases}\n  apps: [", 1))
		lab.Eventually(t, patience, "a Rollout ends as "+phase, func() error {
			r, err := a.rolloutOf("hr/web")
			if err == nil && (begun[r.ID] || r.Phase != phase) {
				err = errors.New(r.String())
			}
			if err == nil {
				begun[r.ID] = true
			}
			return err
		})
	}
	roll("value: first", "Succeeded")
	for _, m := range fleet.Members {
		a.stands(m, "web", "Ready True", "first", "1.0.0")
	}
	roll("value: second, fail: hook", "RolledBack")
	for _, m := range fleet.Members {
		a.becomes(m, "web", "first")
	}
	for _, m := range []string{"prod-1", "prod-2"} {
		versions, err := fleet.Member(m).HelmVersions(t.Context(), a.namespace, "web")
		if err != nil || len(versions) != 1 {
			t.Errorf("%s has %d versions of the release, error %v: the bad one came there", m, len(versions), err)
		}
	}
	roll("value: third", "Succeeded")
	for _, m := range fleet.Members {
		a.stands(m, "web", "Ready True", "third", "1.0.0")
	}
}
