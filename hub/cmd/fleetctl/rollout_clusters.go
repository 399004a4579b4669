package main

import (
	"fmt"
	"time"

	"flotilla.dev/flotilla/hub/cmd/fleetctl/printer"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// printRolloutClusters lists the clusters of a Rollout.
func (a *app) printRolloutClusters(ro *adminv1.Rollout, clusters []*adminv1.RolloutCluster, now time.Time) error {
	fmt.Fprintln(a.stdout)
	t := a.table(nil, "CLUSTER", "WAVE", "PHASE", "SINCE", "TRIES", "CONNECTED", "BASE", "MESSAGE")
	for _, c := range clusters {
		base := printer.Revision(c.GetBase())
		if base == "" {
			base = "none"
		}
		t.Add(c.GetCluster(), waveOf(ro, c), c.GetPhase(), age(c.GetSince(), now), fmt.Sprint(c.GetAttempt()), title(c.GetConnected()), base, clusterTrouble(c))
	}
	return t.Flush(a.stdout)
}

// waveOf names the wave that a cluster is in.
func waveOf(ro *adminv1.Rollout, c *adminv1.RolloutCluster) string {
	if i := int(c.GetWave()); i < len(ro.GetWaves()) {
		return ro.GetWaves()[i].GetName()
	}
	return fmt.Sprint(c.GetWave() + 1)
}

// The phases of clusters that there is something to say of: what went wrong or is put off, what is going on, and what waits
// for its turn.
var (
	troublePhases = []string{"Failed", "RollbackFailed", "Deferred"}
	flightPhases  = []string{"Dispatched", "Applying", "Verifying", "RollingBack"}
)

// maxShown bounds the clusters of each sort that a screen shows.
const maxShown = 10
