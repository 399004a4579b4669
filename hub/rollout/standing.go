package rollout

import (
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Standing is where an App stands that a RolloutPolicy is for.
type Standing struct {
	// Rollout under way, or else the newest one that is not Queued; Queued is the one that waits. Neither has its members;
	// nil: there is none.
	Rollout, Queued *Rollout
	// HaltedSince is since when Rollout is Halted; zero: it is not.
	HaltedSince time.Time
	// Stable is what clusters get that are new; zero: no Release is proven yet.
	Stable fleet.Digest
	// Handled is the newest Release that a Rollout was begun for, or refused to: it does not begin by itself again.
	Handled fleet.Digest
	// BadSince is since when the App's newest Release is known to be bad; zero: it is not.
	BadSince time.Time
	// Failed are the clusters, by name, that were to get Stable outside of a Rollout and did not, and why. They are back at what
	// they had, or stay at Stable where the App says that it cannot be taken back.
	Failed map[string]string
	// Kept are the Releases that Rollouts which were ended on the way have left in clusters: they stay at them until one succeeds.
	Kept []fleet.Digest
	// Version grows with every change of a Rollout.
	Version uint64
}
