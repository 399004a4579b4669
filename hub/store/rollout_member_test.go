package store_test

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"flotilla.dev/flotilla/hub/rollout"
)

// Rule: a field of a Member that is not written when it changes is read as it was, and no rule of the engine goes by it.
func TestEveryFieldOfAMemberIsKeptWhenItChanges(t *testing.T) {
	t.Parallel()
	f := newRolledOut(t, canaryFirst, "canary-1", "prod-1")
	f.push("one")
	f.settle(rollout.Succeeded)
	two := f.push("two")
	f.step()
	was := f.loaded().Active.Members[1]
	at := func(n int) time.Time { return time.Date(2026, 3, 2, 12, n, 0, 1000, time.UTC) }
	now := rollout.Member{
		Cluster: was.Cluster, Name: was.Name, Wave: was.Wave, Turn: was.Turn, Phase: rollout.MemberRollingBack, Failure: rollout.FailureLost, Message: "gone",
		Base: two.Digest(), BaseAvailable: !was.BaseAvailable, Moved: !was.Moved, Inherited: !was.Inherited, Generation: was.Generation + 7,
		Attempt: was.Attempt + 3, Deadline: rollout.Clock{Spent: time.Hour, Since: at(1)}, Since: at(2), Healthy: at(3), Unhealthy: at(4), Unavailable: at(5), Lost: at(6),
	}
	for i := range reflect.TypeFor[rollout.Member]().NumField() {
		name := reflect.TypeFor[rollout.Member]().Field(i).Name
		if !slices.Contains([]string{"Cluster", "Name", "Wave", "Turn"}, name) && reflect.ValueOf(was).Field(i).Equal(reflect.ValueOf(now).Field(i)) {
			t.Errorf("%s does not change", name)
		}
	}
	for _, want := range []rollout.Member{now, was} {
		_, err := f.Roll(t.Context(), appKey, func(s rollout.State) rollout.Step {
			ro := *s.Active
			ro.Members = []rollout.Member{s.Active.Members[0], want}
			ro.Version++
			return rollout.Step{Rollouts: []*rollout.Rollout{&ro}}
		})
		f.must(err)
		if got := f.loaded().Active.Members[1]; got != want {
			t.Errorf("it is\n%+v, not\n%+v", got, want)
		}
	}
}
