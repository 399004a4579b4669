package fleet_test

import (
	"testing"

	"flotilla.dev/flotilla/pkg/fleet"
)

// The words are those of source-controller's conditions and events.
func TestWhatASourceHasIsSaidInFluxsWords(t *testing.T) {
	t.Parallel()
	for want, detail := range map[string]fleet.ArtifactDetail{
		"Succeeded: stored artifact for revision '1.0.0'":                                                         {Size: 5},
		"ChartPullSucceeded: pulled 'podinfo' chart with version '1.0.0'":                                         {Chart: "podinfo"},
		"ChartPackageSucceeded: packaged 'podinfo' chart with version '1.0.0'":                                    {Chart: "podinfo", Packaged: true},
		"ChartPackageSucceeded: packaged 'podinfo' chart with version '1.0.0' and merged values files [a.yaml b]": {Chart: "podinfo", Packaged: true, ValuesFiles: []string{"a.yaml", "b"}},
	} {
		if reason, message := detail.Summary("1.0.0"); reason+": "+message != want {
			t.Errorf("%s: %s, want %s", reason, message, want)
		}
	}
}
