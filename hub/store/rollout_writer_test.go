package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sync/errgroup"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
)

func TestAReleaseIsGivenToClustersByStepsAlone(t *testing.T) {
	t.Parallel()
	f := newRolledOut(t, canaryFirst, "canary-1", "prod-1")
	f.push("one")
	f.settle(rollout.Succeeded)
	second := f.push("two")
	for what, sql := range map[string]string{
		"another Release": fmt.Sprintf(`UPDATE assignment SET release = '\x%x'`, second.Digest().Bytes()),
		"none":            `UPDATE assignment SET state = 'Removed'`,
		"a row": `INSERT INTO assignment (cluster, app, state, generation, pin, placement, payload)
			SELECT gen_random_uuid(), app, state, generation, pin, placement, payload FROM assignment LIMIT 1`,
	} {
		for _, step := range []string{"", "hub/Kustomization/apps/other"} { // nor is the step of another App one of this
			tx := f.begin(fmt.Sprintf(`SELECT set_config('flotilla.step', '%s', true)`, step))
			if _, err := tx.Exec(t.Context(), sql); err == nil || !strings.Contains(err.Error(), "by its Rollouts alone") {
				t.Errorf("%s, in a step of %q: error %v", what, step, err)
			}
			_ = tx.Rollback(t.Context())
		}
	}
	for what, sql := range map[string]string{
		"what is of one cluster alone": `UPDATE assignment SET payload = payload, generation = generation`,
		"an App without a policy":      `INSERT INTO assignment (cluster, app, state, generation, pin, placement, payload) SELECT cluster, app || '-other', 'Active', 1, 1, '', '' FROM assignment`,
	} {
		tx := f.begin()
		if _, err := tx.Exec(t.Context(), sql); err != nil {
			t.Errorf("%s: error %v", what, err)
		}
		_ = tx.Rollback(t.Context())
	}
	f.settle(rollout.Succeeded)
}

// recorded is a step as it was decided on.
type recorded struct {
	state rollout.State
	step  rollout.Step
}

// Two replicas that step the same App at once, while spokes report and a person pauses and resumes: what each step was decided
// on is what the one before it left.
func TestStepsOfReplicasAreAsIfMadeOneAfterAnother(t *testing.T) {
	t.Parallel()
	clusters := []string{"canary-1", "canary-2", "prod-1", "prod-2", "prod-3", "prod-4", "prod-5", "prod-6"}
	f := newRolledOut(t, `{"waves":[{"name":"canary","select":{"matchLabels":{"tier":"canary"}}},{"name":"rest","maxConcurrent":2}],"maxUnavailable":"100%","catchUp":{"maxConcurrent":"100%"}}`, clusters...)
	first := f.push("one")
	f.settle(rollout.Succeeded)
	target := f.push("two")
	other := openBundle(t, f.url)
	var mu sync.Mutex
	var steps []recorded
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	done := make(chan struct{})
	group, ctx := errgroup.WithContext(ctx)
	for _, replica := range []*bundle{f.bundle, other, f.bundle, other} {
		group.Go(func() error {
			for {
				select {
				case <-done:
					return nil
				case <-ctx.Done():
					return ctx.Err()
				default:
				}
				var last recorded
				_, err := replica.Roll(ctx, appKey, func(s rollout.State) rollout.Step {
					last = recorded{s, rollout.Next(s)}
					return last.step
				})
				if err != nil {
					return err
				}
				mu.Lock()
				steps = append(steps, last)
				mu.Unlock()
			}
		})
	}
	for n := 0; ; n++ {
		f.say()
		r, err := other.Rollout(ctx, appKey, "")
		if err != nil {
			t.Fatal(err)
		}
		if r.Phase == rollout.Succeeded && r.Target == target.Digest() {
			break
		}
		if n%5 == 2 && r.Phase == rollout.Running {
			for _, c := range []rollout.Command{rollout.Pause{Actor: "user:admin"}, rollout.Resume{Actor: "user:admin"}} {
				if _, err := other.Act(ctx, "user:admin", appKey, c); err != nil && !errors.Is(err, fleet.ErrConflict) && !errors.Is(err, fleet.ErrNotFound) {
					t.Fatal(err)
				}
			}
		}
	}
	close(done)
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(steps, func(a, b recorded) int { return int(a.state.Generation) - int(b.state.Generation) })
	pins := map[string][]fleet.Digest{}
	versions := map[string]uint64{}
	for i, s := range steps {
		if i > 0 && s.state.Now.Before(steps[i-1].state.Now) {
			t.Errorf("step %d is made at %s, the one before at %s", i, s.state.Now, steps[i-1].state.Now)
		}
		if a := s.state.Active; a != nil && a.Version < versions[a.ID] {
			t.Errorf("step %d is decided on version %d of %s; a step before has written %d", i, a.Version, a.ID, versions[a.ID])
		}
		for _, r := range s.step.Rollouts {
			versions[r.ID] = r.Version
		}
		for id, put := range s.step.Put {
			if was := rowOf(s.state, id).Assignment; was == nil || was.Release.Digest() != put.Assignment.Release.Digest() {
				pins[id] = append(pins[id], put.Assignment.Release.Digest())
			}
		}
	}
	for id, given := range pins {
		if len(given) != 1 || given[0] != target.Digest() {
			t.Errorf("cluster %s was given %v", id, given)
		}
	}
	if len(pins) != len(clusters) {
		t.Errorf("%d clusters were given a Release", len(pins))
	}
	f.numbered(target.Digest(), first.Digest())
}

// numbered checks the last Rollout: its events are told once and in order, and each cluster was updated once.
func (f *rolledOut) numbered(target, base fleet.Digest) {
	f.t.Helper()
	r, err := f.Rollout(f.t.Context(), appKey, "")
	if err != nil {
		f.t.Fatal(err)
	}
	events, err := f.RolloutEvents(f.t.Context(), r.ID, 0, 0)
	if err != nil {
		f.t.Fatal(err)
	}
	dispatched := map[string]int{}
	for i, e := range events {
		if e.Number != uint64(i)+1 {
			f.t.Errorf("event %d has number %d", i+1, e.Number)
		}
		if i > 0 && e.At.Before(events[i-1].At) {
			f.t.Errorf("event %d is told to be before the one before", i+1)
		}
		if e.Type == "Cluster"+string(rollout.MemberDispatched) {
			dispatched[e.Cluster]++
		}
	}
	for _, m := range r.Members {
		if dispatched[m.Name] != 1 || m.Base != base || m.Phase != rollout.MemberSucceeded {
			f.t.Errorf("member %+v was updated %d times", m, dispatched[m.Name])
		}
	}
	if r.Target != target {
		f.t.Errorf("it went to %s", r.Target)
	}
}

func TestAStepWaitsForTheOneThatAnotherReplicaMakes(t *testing.T) {
	t.Parallel()
	f := newRolledOut(t, canaryFirst, "canary-1", "prod-1")
	f.push("one")
	other := openBundle(t, f.url)
	locks := f.begin(`SELECT 1`)
	rolled := make(chan error)
	began := sync.OnceFunc(func() {
		go func() {
			_, err := f.Roll(t.Context(), appKey, rollout.Next)
			rolled <- err
		}()
		f.awaitBlocked(locks, 1)
	})
	_, err := other.Roll(t.Context(), appKey, func(s rollout.State) rollout.Step {
		began()
		return rollout.Next(s)
	})
	if err := errors.Join(err, <-rolled); err != nil {
		t.Fatal(err)
	}
	f.settle(rollout.Succeeded)
}

// What was decided on rows that have changed since is not written, whoever it was who changed them: it is decided anew.
func TestAStepIsNotWrittenOverWhatChangedMeanwhile(t *testing.T) {
	t.Parallel()
	for what, sql := range map[string][2]string{
		"the Rollout": {`UPDATE rollout SET version = version + 100 WHERE phase = 'Running'`, `SELECT 1`},
		"a new Assignment": {`INSERT INTO assignment (cluster, app, state, generation, pin, release, placement, payload)
			SELECT c.id, a.app, a.state, 1, 1, a.release, a.placement, a.payload FROM cluster c, assignment a WHERE c.name = 'prod-2' LIMIT 1`,
			`DELETE FROM assignment WHERE generation = 1`},
		"an old Assignment": {`UPDATE assignment SET generation = generation + 1000`, `UPDATE assignment SET generation = generation - 1000`},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			f := newRolledOut(t, `{"waves":[{"name":"all","maxConcurrent":"100%"}],"maxUnavailable":"100%"}`, "canary-1", "prod-1")
			f.push("one")
			f.settle(rollout.Succeeded)
			f.join("prod-2")
			second := f.push("two")
			if what == "the Rollout" {
				f.step()
				f.say()
			}
			var decided []rollout.State
			_, err := f.Roll(t.Context(), appKey, func(s rollout.State) rollout.Step {
				if decided = append(decided, s); len(decided) <= 2 { // changed, and as it was
					commit(t, f.begin(fmt.Sprintf(`SELECT set_config('flotilla.step', '%s', true)`, appKey), sql[len(decided)-1]))
				}
				return rollout.Next(s)
			})
			if err != nil || len(decided) != 2 {
				t.Fatalf("decided %d times, error %v", len(decided), err)
			}
			f.settle(rollout.Succeeded)
			for name, release := range f.runs() {
				if release != second.Digest() {
					t.Errorf("%s runs %s", name, release)
				}
			}
		})
	}
}
