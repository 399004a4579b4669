package rollout

import (
	"maps"
	"slices"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
)

// noTime is when nothing was.
var noTime time.Time

// Track is what is known of the Releases of an App that a RolloutPolicy is for.
type Track struct {
	// Stable is what clusters get that are new, or come back.
	Stable fleet.Digest `json:"stable,omitzero"`
	// Handled is the newest Release that a Rollout was begun for, or refused to.
	Handled fleet.Digest `json:"handled,omitzero"`
	// Kept are what Rollouts that were ended on the way have left in clusters: they stay at it until one succeeds.
	Kept []fleet.Digest `json:"kept,omitempty"`
	// Verdicts of Releases, the newest last.
	Verdicts []Verdict `json:"verdicts,omitempty"`
	// CatchingUp are clusters that get something outside of a Rollout, by id.
	CatchingUp map[string]CatchUp `json:"catchingUp,omitempty"`
}

// Verdict says what became of a Release.
type Verdict struct {
	Release fleet.Digest `json:"release"`
	Outcome Outcome      `json:"outcome"`
	// Rollout that found it; empty: it ran when a policy first came.
	Rollout string    `json:"rollout,omitempty"`
	At      time.Time `json:"at"`
}

// Outcome of a Release.
type Outcome string

// The outcomes. A Bad Release is never rolled out by itself again.
const (
	Good Outcome = "Good"
	Bad  Outcome = "Bad"
)

// maxVerdicts bounds what is remembered.
const maxVerdicts = 50

// Outcome of a Release; empty: none is known.
func (k Track) Outcome(release fleet.Digest) Outcome {
	for _, v := range k.Verdicts {
		if v.Release == release {
			return v.Outcome
		}
	}
	return ""
}

// foundBy names the Rollout that found the outcome of a Release; empty: none did.
func (k Track) foundBy(release fleet.Digest) string {
	for _, v := range k.Verdicts {
		if v.Release == release {
			return v.Rollout
		}
	}
	return ""
}

// judge notes the outcome of a Release, in place of one before.
func (k *Track) judge(release fleet.Digest, outcome Outcome, rollout string, now time.Time) {
	k.Verdicts = slices.DeleteFunc(k.Verdicts, func(v Verdict) bool { return v.Release == release })
	k.Verdicts = append(k.Verdicts, Verdict{Release: release, Outcome: outcome, Rollout: rollout, At: now})
	if n := len(k.Verdicts) - maxVerdicts; n > 0 {
		k.Verdicts = slices.Delete(k.Verdicts, 0, n)
	}
}

func (k Track) clone() Track {
	k.Kept = slices.Clone(k.Kept)
	k.Verdicts = slices.Clone(k.Verdicts)
	k.CatchingUp = maps.Clone(k.CatchingUp)
	return k
}

// keep has clusters stay at what they have now, where the Rollout under way has come to its end.
func (t *turn) keep() {
	was := t.track.Kept
	t.track.Kept = nil
	add := func(release fleet.Digest) {
		if release != t.track.Stable && !slices.Contains(t.track.Kept, release) {
			t.track.Kept = append(t.track.Kept, release)
		}
	}
	add(t.ro.Target)
	for i := range t.sites {
		s := &t.sites[i]
		if !s.has {
			continue
		}
		if m := t.memberAt(s); m != nil && m.Moved || slices.Contains(was, s.row.Release) {
			add(s.row.Release)
		}
	}
}

// adopt is for an App that a policy is new for: what its clusters run is good, and Stable what most of them run.
func (t *turn) adopt() {
	if t.State.Track != nil {
		return
	}
	count, proven := map[fleet.Digest]int{}, map[fleet.Digest]bool{}
	var found []fleet.Digest
	for i := range t.sites {
		row := t.sites[i].row
		if !t.sites[i].has {
			continue
		}
		if count[row.Release]++; count[row.Release] == 1 {
			found = append(found, row.Release)
		}
		if row.Report != nil && row.Report.Release == row.Release && row.Report.Converged {
			proven[row.Release] = true
		}
	}
	slices.SortFunc(found, func(a, b fleet.Digest) int {
		if n := count[a] - count[b]; n != 0 {
			return n
		}
		return slices.Compare(a[:], b[:])
	})
	for _, release := range found {
		if len(proven) == 0 || proven[release] {
			t.track.judge(release, Good, "", t.Now)
			t.track.Stable = release
		}
	}
	if len(found) == 1 && !t.newest.IsZero() && t.newest == t.track.Stable {
		t.track.Handled = t.track.Stable
	}
}
