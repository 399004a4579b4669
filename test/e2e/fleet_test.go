package e2e

import (
	"testing"

	"flotilla.dev/flotilla/test/lab"
)

// startFleet is a fleet of a test's own, which may be broken.
func startFleet(t *testing.T, clusters ...lab.FleetCluster) *lab.Fleet {
	t.Helper()
	return startFleetWith(t, lab.FleetConfig{Clusters: clusters})
}

func startFleetWith(t *testing.T, config lab.FleetConfig) *lab.Fleet {
	t.Helper()
	config.Binaries, config.Audit = lab.TestBinaries(t), true
	fleet, err := lab.StartFleet(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := fleet.Stop(); err != nil {
			t.Error(err)
		}
	})
	return fleet
}

func cluster(name string) lab.FleetCluster {
	return lab.FleetCluster{Name: name, Labels: map[string]string{"tier": "prod"}}
}
