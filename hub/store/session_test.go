package store_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"flotilla.dev/flotilla/pkg/fleet"
)

// A rollout that writes Assignments checks that their clusters are there, which locks the clusters' keys.
func TestStateIsReadWithoutHoldingUpRollouts(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.apply(clusterYAML("prod-1", "prod"))
	session := b.connect("prod-1", fleet.StateID{})
	held := b.begin(`LOCK TABLE issued_state IN EXCLUSIVE MODE`)
	done := make(chan error)
	go func() {
		_, _, _, err := b.DesiredState(t.Context(), session, fleet.StateID{})
		done <- err
	}()
	b.awaitBlocked(held, 1) // in the middle of it
	execute(t, held, `SELECT FROM cluster FOR KEY SHARE NOWAIT`)
	commit(t, held)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Of a Secret that was copied, as by a backup that is restored elsewhere, two spokes would take the session from each
// other for ever.
func TestSpokeInAnotherKubernetesClusterThanTheOneThatEnrolledIsRefused(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	if err := b.register("prod-1", "token", time.Hour, false); err != nil {
		t.Fatal(err)
	}
	if err := b.redeemIn("a", "token", "token", "key"); err != nil {
		t.Fatal(err)
	}
	id := b.clusters()["prod-1"].Metadata.UID
	var last uint64
	for _, step := range []struct {
		uid  string
		want error
	}{{"a", nil}, {"b", fleet.ErrDenied}, {"", nil}, {"a", nil}} {
		session, err := b.OpenSession(t.Context(), id, fleet.StateID{}, fleet.ClusterFacts{KubeSystemUID: step.uid})
		if !errors.Is(err, step.want) {
			t.Errorf("from %q: %v, want %v", step.uid, err, step.want)
		}
		if err == nil && session.Number != last+1 {
			t.Errorf("session %d after %d", session.Number, last)
		}
		last = max(last, session.Number)
	}
	if err := b.register("prod-1", "again", time.Hour, true); err != nil {
		t.Fatal(err)
	}
	if err := b.redeemIn("b", "again", "again", "key"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.OpenSession(t.Context(), id, fleet.StateID{}, fleet.ClusterFacts{KubeSystemUID: "b"}); err != nil {
		t.Errorf("in the place of the other: %v", err)
	}
}

func TestAdoptedClusterIsKnownByTheKubernetesClusterItConnectsFromFirst(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	id := uuid.NewString()
	if err := b.AdoptCluster(t.Context(), id, "prod-1"); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		uid  string
		want error
	}{{"", nil}, {"a", nil}, {"b", fleet.ErrDenied}} {
		if _, err := b.OpenSession(t.Context(), id, fleet.StateID{}, fleet.ClusterFacts{KubeSystemUID: step.uid}); !errors.Is(err, step.want) {
			t.Errorf("from %q: %v, want %v", step.uid, err, step.want)
		}
	}
}

// Reports are ordered by (session, sequence); what a spoke says of an App, within them, by (epoch, generation).
func TestReportsAreStoredInTheirOrderAndOnce(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.running()
	session := b.connect("prod-1", fleet.StateID{})
	for _, step := range []struct {
		says                        string
		sequence, epoch, generation uint64
		want                        string
	}{
		{"first", 1, 1, 5, "first"},
		{"the same sequence again", 1, 1, 5, "first"},
		{"news of the same generation", 3, 1, 5, "news of the same generation"},
		{"a lower sequence, overtaken", 2, 1, 5, "news of the same generation"},
		{"a lower generation", 4, 1, 4, "news of the same generation"},
		{"a higher generation", 5, 1, 6, "a higher generation"},
		{"a lower generation of a higher epoch", 6, 2, 1, "a lower generation of a higher epoch"},
		{"a higher generation of a lower epoch", 7, 1, 9, "a lower generation of a higher epoch"},
	} {
		err := b.StoreReports(t.Context(), session.Cluster, fleet.ReportBatch{
			Session: session.Number, Sequence: step.sequence, Events: []fleet.Event{{Number: step.sequence, Reason: "Told", Message: step.says, At: time.Now()}},
			Reports: []fleet.Report{{App: appKey, Epoch: step.epoch, Generation: step.generation, Stage: fleet.StageSettled, Waiting: fleet.WaitingNone,
				Ready: fleet.Condition{Status: fleet.True, Message: step.says}, ObservedAt: time.Now()}},
		})
		if err != nil {
			t.Fatalf("%s: %v", step.says, err)
		}
		if got := b.instances()["prod-1"].Report.Ready.Message; got != step.want {
			t.Errorf("after %q the hub knows %q, not %q", step.says, got, step.want)
		}
	}
	events, _, err := b.Events(t.Context(), fleet.EventQuery{Cluster: "prod-1"})
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]int{}
	for _, e := range events {
		told[e.Message]++
	}
	if len(told) != 6 || told["first"] != 1 || told["the same sequence again"]+told["a lower sequence, overtaken"] != 0 {
		t.Errorf("events %v", told)
	}
}

// An Assignment may be written while the ones before it are allotted.
func TestAssignmentThatComesWhileAStateIsAllottedIsInTheNext(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.running()
	session := b.connect("prod-1", fleet.StateID{})
	held := b.begin(`LOCK TABLE cluster IN SHARE MODE`) // which lets the row be locked, and the Assignments be read
	type state struct {
		desired fleet.Desired
		id      fleet.StateID
		err     error
	}
	first := make(chan state)
	go func() {
		desired, id, _, err := b.DesiredState(t.Context(), session, fleet.StateID{})
		first <- state{desired, id, err}
	}()
	b.awaitBlocked(held, 1)
	execute(t, held, `UPDATE assignment SET generation = generation + 1, payload = payload || ' '`)
	commit(t, held)
	was := <-first
	if was.err != nil {
		t.Fatal(was.err)
	}
	desired, id, _, err := b.DesiredState(t.Context(), session, was.id)
	if err != nil {
		t.Fatal(err)
	}
	if id == was.id || len(desired) != 1 {
		t.Errorf("after state %s with %d Assignments comes %s with %d", was.id, len(was.desired), id, len(desired))
	}
}
