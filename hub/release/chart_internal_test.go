package release

import (
	"errors"
	"testing"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
)

// It was declared between the look at the Sources and the one at the Apps.
func TestReleaseWhoseOwnChartWasNotSeenYetIsNotToldThatItIsMissing(t *testing.T) {
	t.Parallel()
	own := flux.HelmRelease{Chart: &flux.HelmChartTemplate{}}
	release := fleet.Key{Kind: "HelmRelease"}
	if app := (declaredApp{Key: release, spec: own}); !app.awaits() {
		t.Error("it does not wait for its own chart")
	}
	if app := (declaredApp{Key: release, spec: own, denied: errors.New("blocked")}); app.awaits() {
		t.Error("it waits for a chart that it may not have")
	}
	if app := (declaredApp{Key: release, spec: flux.HelmRelease{}}); app.awaits() {
		t.Error("it waits for what others have to declare")
	}
}
