package store

import (
	"slices"
	"testing"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
)

func TestReleasesAreNeededThatClustersMayComeToHave(t *testing.T) {
	t.Parallel()
	digest := func(name string) fleet.Digest { return fleet.DigestOf([]byte(name)) }
	track := rollout.Track{
		Stable: digest("stable"), Handled: digest("handled"), Kept: []fleet.Digest{digest("kept")},
		CatchingUp: map[string]rollout.CatchUp{"a": {From: digest("from"), To: digest("to")}, "new": {To: digest("to")}},
	}
	for _, name := range []string{"good-0", "good-1", "good-2", "good-3", "good-4", "good-5"} {
		track.Verdicts = append(track.Verdicts, rollout.Verdict{Release: digest(name), Outcome: rollout.Good}, rollout.Verdict{Release: digest("bad"), Outcome: rollout.Bad})
	}
	got := needed(track)
	want := []string{"stable", "handled", "kept", "from", "to", "good-1", "good-2", "good-3", "good-4", "good-5"}
	for _, name := range want {
		if !slices.ContainsFunc(got, func(d []byte) bool { return string(d) == string(digest(name).Bytes()) }) {
			t.Errorf("%s is not needed", name)
		}
	}
	for _, name := range []string{"bad", "good-0"} {
		if slices.ContainsFunc(got, func(d []byte) bool { return string(d) == string(digest(name).Bytes()) }) {
			t.Errorf("%s is needed", name)
		}
	}
}
