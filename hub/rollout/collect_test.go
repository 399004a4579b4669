package rollout_test

import (
	"maps"
	"slices"
	"time"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
)

// collect drops the Releases that nothing needs any more: no Assignment has them, no Rollout under way or over for less
// than 30 days has them for target or base, they are neither Stable nor the newest, nor among the last five that were good.
func (w *world) collect() {
	s := &w.state
	needed := map[fleet.Digest]bool{}
	for _, row := range s.Rows {
		needed[row.Release] = true
	}
	need := func(ro *rollout.Rollout) {
		if ro == nil || ro.Phase.Final() && s.Now.Sub(ro.Finished) > 30*24*time.Hour {
			return
		}
		needed[ro.Target] = true
		for _, m := range ro.Members {
			needed[m.Base] = true
		}
	}
	need(s.Active)
	need(s.Queued)
	for _, ro := range w.ended {
		need(ro)
	}
	if s.App.Release != nil {
		needed[s.App.Release.Digest()] = true
	}
	if s.Track != nil {
		needed[s.Track.Stable] = true
		good := 0
		for _, v := range slices.Backward(s.Track.Verdicts) {
			if v.Outcome == rollout.Good && good < 5 {
				good++
				needed[v.Release] = true
			}
		}
	}
	s.Releases = maps.Clone(s.Releases)
	maps.DeleteFunc(s.Releases, func(d fleet.Digest, _ fleet.Release) bool { return !needed[d] })
}
