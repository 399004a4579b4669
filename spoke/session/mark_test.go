package session

import (
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
)

// killed returns what a spoke that is killed now leaves behind, for the next one to start on.
func (s *spoke) killed() *spoke {
	next := newSpoke(s.token)
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	next.store.identity = s.store.identity
	maps.Copy(next.records, s.records)
	return next
}

// between brings a spoke to where a state is on disk, its number is not kept yet, and nothing of it is done.
func between(t *testing.T, h *hub, s *spoke) (first, second fleet.StateID, next *spoke) {
	t.Helper()
	s.start(t, h)
	<-h.hellos
	first = h.set(desired(1))
	h.send(h.message(fleet.StateID{}, first, 1))
	<-s.accepted
	synctest.Wait()
	s.store.set(func(m *memoryStore) { m.stuck = true })
	second = h.set(desired(-2)) // a tombstone
	h.send(h.message(first, second, 1))
	synctest.Wait()
	s.Report(reportOf(0, 1)) // which carries what is acknowledged
	time.Sleep(markPatience / 2)
	if len(s.accepted) != 0 {
		t.Fatal("a state is acted on before its number is kept")
	}
	for len(h.reports) > 0 {
		if id, err := stateFromWire((<-h.reports).GetAcknowledged()); err == nil && id == second {
			t.Error("a state is acknowledged before its number is kept")
		}
	}
	next = s.killed()
	_ = s.stop()
	for len(h.hellos) > 0 {
		<-h.hellos
	}
	return first, second, next
}

func TestSpokeKilledBeforeTheNumberIsKeptGoesOnFromItsDiskAndTakesNothingLower(t *testing.T) {
	bubble(t, func(t *testing.T, h *hub, s *spoke) {
		first, second, next := between(t, h, s)
		next.start(t, h)
		if got := <-next.accepted; got.ID != second {
			t.Errorf("from disk came %s, want %s", got.ID, second)
		}
		if got, err := stateFromWire((<-h.hellos).GetState()); err != nil || got != second {
			t.Errorf("the hello says %s (%v), want %s", got, err, second)
		}
		h.send(h.message(fleet.StateID{}, first, 1))
		<-h.hellos // refused: the spoke connects anew
		if len(next.accepted) != 0 {
			t.Errorf("%s was accepted after %s", first, second)
		}
	})
}

func TestSpokeKilledBeforeTheNumberIsKeptHasDoneNothingOfTheStateThatItsVolumeTakesAlong(t *testing.T) {
	bubble(t, func(t *testing.T, h *hub, s *spoke) {
		first, second, next := between(t, h, s)
		clear(next.records)
		next.start(t, h)
		said := (<-h.hellos).GetState()
		if said.GetVersion() != first.Version || len(said.GetDigest()) != 0 {
			t.Errorf("the hello says %v, want the number of %s without a digest", said, first)
		}
		h.send(h.message(fleet.StateID{}, second, 1))
		if got := <-next.accepted; got.ID != second {
			t.Errorf("accepted %s, want %s", got.ID, second)
		}
	})
}

func TestSecretThatCannotBeWrittenHoldsNoStateUpForLong(t *testing.T) {
	bubble(t, func(t *testing.T, h *hub, s *spoke) {
		s.start(t, h)
		<-h.hellos
		synctest.Wait()
		s.store.set(func(m *memoryStore) { m.stuck = true })
		first := h.set(desired(1))
		begun := time.Now()
		h.send(h.message(fleet.StateID{}, first, 1))
		if got := <-s.accepted; got.ID != first || time.Since(begun) > markPatience {
			t.Errorf("accepted %s after %s", got.ID, time.Since(begun))
		}
		s.store.set(func(m *memoryStore) { m.stuck = false })
		second := h.set(desired(2))
		h.send(h.message(first, second, 1))
		<-s.accepted
		synctest.Wait()
		if mine, _ := s.store.Load(t.Context()); mine.Mark.Compare(second) != 0 {
			t.Errorf("the mark kept is %s, want %s", mine.Mark, second)
		}
	})
}
