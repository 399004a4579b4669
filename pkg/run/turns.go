package run

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Turns lets so many work at a time, and shares that out among parties: whoever has the fewest turns goes next, and of
// those who have as many, who has had none for longest. One party's thousand that wait are one party that waits.
type Turns struct {
	limit, over int

	mu      sync.Mutex
	held    map[string]int // by party; those with none are not there
	all     int
	waiting []*line // the one that has had no turn for longest first
}

// line is who waits of one party, in the order in which they came.
type line struct {
	party  string
	places []*place
}

type place struct {
	since time.Time
	turn  chan struct{} // closed when it has come
}

// NewTurns has limit turns, and over more that only parties without a turn get: long work of one party, which has taken
// all turns, does not hold the first of another back.
func NewTurns(limit, over int) *Turns {
	return &Turns{limit: limit, over: over, held: map[string]int{}}
}

// Take waits for a turn of the party, or for the end of ctx, which is its error. The turn lasts until done is called.
func (t *Turns) Take(ctx context.Context, party string) (done func(), err error) {
	p := t.enter(party)
	select {
	case <-p.turn:
		return sync.OnceFunc(func() { t.end(party) }), nil
	case <-ctx.Done():
	}
	if !t.leave(party, p) {
		t.end(party) // the turn came just now
	}
	return nil, context.Cause(ctx)
}

// Waiting is how many wait, and how long the first of them has.
func (t *Turns) Waiting() (n int, longest time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, l := range t.waiting {
		n += len(l.places)
		longest = max(longest, time.Since(l.places[0].since))
	}
	return n, longest
}

func (t *Turns) enter(party string) *place {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := &place{since: time.Now(), turn: make(chan struct{})}
	if i := t.line(party); i >= 0 {
		t.waiting[i].places = append(t.waiting[i].places, p)
	} else {
		t.waiting = append(t.waiting, &line{party, []*place{p}})
	}
	t.serve()
	return p
}

// leave takes a place out of its line; false: its turn has come.
func (t *Turns) leave(party string, p *place) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := t.line(party)
	if i < 0 {
		return false
	}
	l := t.waiting[i]
	at := slices.Index(l.places, p)
	if at < 0 {
		return false
	}
	if l.places = slices.Delete(l.places, at, at+1); len(l.places) == 0 {
		t.waiting = slices.Delete(t.waiting, i, i+1)
	}
	return true
}

func (t *Turns) end(party string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all--
	if t.held[party]--; t.held[party] == 0 {
		delete(t.held, party)
	}
	if i := t.line(party); i >= 0 { // it goes behind those that had none meanwhile
		l := t.waiting[i]
		t.waiting = append(slices.Delete(t.waiting, i, i+1), l)
	}
	t.serve()
}

// serve gives turns to who is next as long as there are any.
func (t *Turns) serve() {
	for len(t.waiting) > 0 {
		next := 0
		for i, l := range t.waiting {
			if t.held[l.party] < t.held[t.waiting[next].party] {
				next = i
			}
		}
		l := t.waiting[next]
		if t.all >= t.limit && (t.held[l.party] > 0 || t.all >= t.limit+t.over) {
			return
		}
		close(l.places[0].turn)
		t.held[l.party]++
		t.all++
		t.waiting = slices.Delete(t.waiting, next, next+1)
		if l.places = l.places[1:]; len(l.places) > 0 {
			t.waiting = append(t.waiting, l)
		}
	}
}

func (t *Turns) line(party string) int {
	return slices.IndexFunc(t.waiting, func(l *line) bool { return l.party == party })
}
