package store_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
)

// Whenever it is that old rows are collected, and however old everything is by then, what a rollback or a pin needs later is
// there.
func TestNoReleaseIsCollectedThatClustersMayComeToHave(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 17))
			policy := `{"waves":[{"name":"canary","select":{"matchLabels":{"tier":"canary"}}},{"name":"rest","maxFailures":1,"maxConcurrent":2}],"maxUnavailable":"100%",` +
				`"catchUp":{"maxConcurrent":"100%"},"onFailure":{"action":"` + []string{"Halt", "Rollback"}[seed%2] + `"}}`
			f := newRolledOut(t, policy, "canary-1", "prod-1", "prod-2", "prod-3")
			for n := range 60 {
				f.misfortune(random, n)
				for range 3 {
					f.look()
					f.say()
				}
			}
			f.unfreeze()
			f.bad = map[fleet.Digest]bool{}
			last := f.push("last")
			for range 60 {
				f.collect()
				f.look()
				f.say()
				_, _ = f.Act(t.Context(), actor, appKey, rollout.Resume{Actor: actor}) // one that a person paused
			}
			for name, release := range f.runs() {
				if release != last.Digest() {
					t.Errorf("at the end %s runs %s", name, release)
				}
			}
		})
	}
}

// misfortune is one thing that happens.
func (f *rolledOut) misfortune(random *rand.Rand, n int) {
	f.t.Helper()
	ctx := f.t.Context()
	switch random.IntN(12) {
	case 0, 1, 2:
		for i := range 1 + random.IntN(7) { // of several at once, most are never rolled out
			release := f.push(fmt.Sprint(n, "-", i))
			f.bad[release.Digest()] = n > 15 && random.IntN(6) > 0 || random.IntN(3) == 0
		}
	case 3, 4:
		f.collect()
	case 5:
		_, _ = f.Act(ctx, actor, appKey, rollout.Rollback{Actor: actor})
	case 6:
		_, _ = f.Act(ctx, actor, appKey, rollout.Cancel{Actor: actor})
	case 7:
		_, _ = f.Act(ctx, actor, appKey, rollout.Pause{Actor: actor})
	case 8:
		_, _ = f.Act(ctx, actor, appKey, rollout.Resume{Actor: actor})
	default:
		f.say()
	}
}

// collect has everything be old, and takes what is past its bound.
func (f *rolledOut) collect() {
	f.t.Helper()
	f.sql(`UPDATE release SET used_at = used_at - interval '3 days'`, `UPDATE blob SET used_at = used_at - interval '3 days'`,
		`UPDATE rollout SET created_at = created_at - interval '40 days', finished_at = finished_at - interval '40 days'`,
		`DELETE FROM app_revision v USING app a WHERE a.key = v.app AND v.release <> a.release`)
	f.must(f.RetainNow(f.t.Context()))
}

// look makes a step, and checks that it can give every Release that it may have to.
func (f *rolledOut) look() {
	f.t.Helper()
	_, err := f.Roll(f.t.Context(), appKey, func(s rollout.State) rollout.Step {
		var manifests []fleet.Digest
		needs := func(what string, d fleet.Digest) {
			release, known := s.Releases[d]
			if !d.IsZero() && !known {
				f.t.Errorf("%s is not there any more: %s", what, d)
			}
			if known {
				manifests = append(manifests, release.Manifest)
			}
		}
		if s.Active != nil {
			for _, m := range s.Active.Members {
				needs("what "+m.Name+" goes back to", m.Base)
			}
		}
		if s.Track != nil {
			needs("Stable", s.Track.Stable)
			good := 0
			for i := len(s.Track.Verdicts) - 1; i >= 0 && good < 5; i-- {
				if v := s.Track.Verdicts[i]; v.Outcome == rollout.Good {
					needs("one of the last good Releases", v.Release)
					good++
				}
			}
		}
		for _, row := range s.Rows {
			needs("what a cluster has", row.Release)
		}
		missing, err := f.Blobs().Missing(f.t.Context(), manifests)
		if err != nil || len(missing) > 0 {
			f.t.Errorf("of Releases that are needed, %d manifests are not there, error %v", len(missing), err)
		}
		return rollout.Next(s)
	})
	f.must(err)
}
