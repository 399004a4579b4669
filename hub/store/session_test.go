package store_test

import (
	"testing"

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
		_, _, _, err := b.DesiredState(t.Context(), session)
		done <- err
	}()
	b.awaitBlocked(held, 1) // in the middle of it
	execute(t, held, `SELECT FROM cluster FOR KEY SHARE NOWAIT`)
	commit(t, held)
	if err := <-done; err != nil {
		t.Error(err)
	}
}
