package store_test

import (
	"strings"
	"testing"
	"time"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/hub/store"
	"flotilla.dev/flotilla/pkg/fleet"
)

func TestControlsReachEveryClusterInTheMiddleOfARolloutThatIsFrozen(t *testing.T) {
	t.Parallel()
	f := newRolledOut(t, canaryFirst, "canary-1", "prod-1")
	f.push("one")
	f.settle(rollout.Succeeded)
	f.push("two")
	f.step()
	f.freeze("holidays")
	f.step()
	before := f.instances()
	f.apply(strings.Replace(ksYAML, `"interval":"10m"`, `"interval":"7m","timeout":"3m","retryInterval":"2m"`, 1))
	asked, err := f.RequestReconcile(t.Context(), admin, "Kustomization", "apps", "app", nil, fleet.LookOptions{})
	if err != nil {
		t.Fatal(err)
	}
	f.step()
	want := fleet.Controls{Interval: 7 * time.Minute, Timeout: 3 * time.Minute, RetryInterval: 2 * time.Minute, RequestedAt: asked.At}
	for name, i := range f.instances() {
		is, was := i.Assignment, before[name].Assignment
		if is.Controls != want || is.Pin != was.Pin || is.Generation <= was.Generation || is.Release.Digest() != was.Release.Digest() {
			t.Errorf("%s has %+v at %d, pinned at %d, and had %+v at %d, pinned at %d", name, is.Controls, is.Generation, is.Pin,
				was.Controls, was.Generation, was.Pin)
		}
	}
	all, err := f.Rollouts(t.Context(), store.RolloutQuery{App: appKey, Limit: 10})
	if err != nil || len(all) != 2 || all[0].Phase != rollout.Running {
		t.Errorf("Rollouts %+v, error %v", all, err)
	}
}
