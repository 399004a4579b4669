package fleet_test

import (
	"testing"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Of an App's own request it is known only that it is another one: people write into the annotation what they like.
func TestRequestForOneClusterCountsUntilTheAppsOwnChanges(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	before, after := now.Add(-time.Second).Format(time.RFC3339Nano), now.Add(time.Second).Format(time.RFC3339Nano)
	texts := []string{before, now.Format(time.RFC3339Nano), after, "1767323045", "now", "now now", "now " + before, " now"}
	for _, own := range append(texts, "") {
		in := fleet.RequestAt(own, now)
		if got := fleet.NewerRequest(own, in); got != in {
			t.Errorf("%q, made while the App's was %q, does not count: %q", in, own, got)
		}
		if before, at := fleet.CutRequest(in); !at.Equal(now) || before != own {
			t.Errorf("%q was made at %s, and while the App's was %q", in, at, before)
		}
		if got := fleet.NewerRequest(own, ""); got != own {
			t.Errorf("the App's is %q, and %q counts", own, got)
		}
		for _, next := range texts {
			if got := fleet.NewerRequest(next, in); next != own && got != next {
				t.Errorf("the App's %q, after %q, does not count: %q", next, in, got)
			}
		}
	}
	for _, text := range []string{"", "now", "now now"} {
		if own, at := fleet.CutRequest(text); own != text || !at.IsZero() {
			t.Errorf("%q is %q at %s", text, own, at)
		}
	}
}
