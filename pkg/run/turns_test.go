package run_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"flotilla.dev/flotilla/pkg/run"
)

// queue is who waits for a turn and who got one, in order.
type queue struct {
	t     *testing.T
	turns *run.Turns
	mu    sync.Mutex
	got   []string
	done  map[string]func()
}

func newQueue(t *testing.T, limit, over int) *queue {
	return &queue{t: t, turns: run.NewTurns(limit, over), done: map[string]func(){}}
}

// take has someone of a party wait in a goroutine: "a1" is of party "a".
func (q *queue) take(names ...string) {
	q.t.Helper()
	for _, name := range names {
		go func() {
			done, err := q.turns.Take(q.t.Context(), name[:1])
			if err != nil {
				return // the test has ended
			}
			q.mu.Lock()
			defer q.mu.Unlock()
			q.got = append(q.got, name)
			q.done[name] = done
		}()
		synctest.Wait()
	}
}

func (q *queue) end(name string) {
	q.t.Helper()
	q.mu.Lock()
	done := q.done[name]
	q.mu.Unlock()
	if done == nil {
		q.t.Fatalf("%s has no turn", name)
	}
	done()
	synctest.Wait()
}

func (q *queue) want(order string) {
	q.t.Helper()
	q.mu.Lock()
	defer q.mu.Unlock()
	if got := strings.Join(q.got, " "); got != order {
		q.t.Errorf("turns came to %q, want %q", got, order)
	}
}

func TestTurnsOfPartiesTakeTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(t, 1, 0)
		q.take("a1", "a2", "a3", "a4", "b1", "b2", "c1")
		for _, name := range []string{"a1", "b1", "c1", "a2", "b2", "a3"} {
			q.end(name)
		}
		q.want("a1 b1 c1 a2 b2 a3 a4")
	})
}

func TestWhoHasFewestTurnsGoesNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(t, 3, 0)
		q.take("a1", "a2", "b1", "a3", "b2")
		q.end("a1")
		q.want("a1 a2 b1 b2") // one each, and a had one just now
		q.end("a2")
		q.want("a1 a2 b1 b2 a3")
	})
}

func TestAPartyWithoutTurnDoesNotWaitForAnothersLongWork(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(t, 2, 1)
		q.take("a1", "a2", "a3", "b1", "b2", "c1")
		q.want("a1 a2 b1") // b1 is one over; c1 has to wait for that
		q.end("b1")
		q.want("a1 a2 b1 c1")
		q.end("a1")
		q.want("a1 a2 b1 c1 b2")
		q.end("c1")
		q.want("a1 a2 b1 c1 b2") // two are held, one of them by a
		q.end("b2")
		q.want("a1 a2 b1 c1 b2 a3")
	})
}

func TestWhoStopsWaitingLosesNoTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(t, 1, 0)
		q.take("a1")
		gone := errors.New("gone")
		ctx, cancel := context.WithCancelCause(t.Context())
		left := make(chan error)
		go func() {
			_, err := q.turns.Take(ctx, "b")
			left <- err
		}()
		synctest.Wait()
		q.take("b2")
		time.Sleep(time.Minute) // of the test's clock
		if n, longest := q.turns.Waiting(); n != 2 || longest != time.Minute {
			t.Errorf("%d wait, the first for %s", n, longest)
		}
		cancel(gone)
		if err := <-left; !errors.Is(err, gone) {
			t.Errorf("error %v, want the context's", err)
		}
		q.end("a1")
		q.want("a1 b2")
		if n, longest := q.turns.Waiting(); n != 0 || longest != 0 {
			t.Errorf("%d wait, the first for %s", n, longest)
		}
		q.end("b2")
		q.done["b2"]() // a second time changes nothing
		q.take("c1", "c2")
		q.want("a1 b2 c1")
	})
}
