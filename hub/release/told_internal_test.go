package release

import (
	"testing"

	"flotilla.dev/flotilla/pkg/fleet"
)

func TestEventsOfAChartAreFluxs(t *testing.T) {
	t.Parallel()
	good := fleet.Looked{Revision: "1.0.0", Detail: fleet.ArtifactDetail{Chart: "podinfo", Packaged: true}}
	bad := fleet.Looked{Reason: "ChartPullError", Message: "refused"}
	for _, test := range []struct {
		kind  string
		look  fleet.Looked
		again bool
		want  fleet.FleetEvent
	}{
		{"HelmChart", good, false, fleet.FleetEvent{Reason: "ChartPackageSucceeded", Message: "packaged 'podinfo' chart with version '1.0.0'"}},
		{"HelmChart", good, true, fleet.FleetEvent{Reason: "ChartPackageSucceeded", Message: "packaged 'podinfo' chart with version '1.0.0'"}},
		{"HelmChart", bad, true, fleet.FleetEvent{Reason: "ChartPullError", Message: "refused", Warning: true}},
		{"HelmRepository", good, false, fleet.FleetEvent{Reason: "NewArtifact", Message: "fetched revision 1.0.0"}},
		{"HelmRepository", good, true, fleet.FleetEvent{Reason: "Succeeded", Message: "fetched again: still revision 1.0.0"}},
	} {
		if got := eventOf(test.kind, test.look, test.again); got != test.want {
			t.Errorf("%s, again %t: %+v, want %+v", test.kind, test.again, got, test.want)
		}
	}
}
