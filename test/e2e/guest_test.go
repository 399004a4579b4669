package e2e

import (
	"testing"

	"flotilla.dev/flotilla/test/crowd"
	"flotilla.dev/flotilla/test/lab"
)

// invite has clusters without Kubernetes join a fleet; they leave with the test.
func invite(t testing.TB, f *lab.Fleet, names ...string) []*crowd.Guest {
	t.Helper()
	clusters := make([]crowd.Cluster, len(names))
	for i, name := range names {
		clusters[i].Name = name
	}
	joined, err := crowd.Join(t.Context(), f, clusters)
	t.Cleanup(func() {
		if err := joined.Leave(); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return joined.Guests
}
