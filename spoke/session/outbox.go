package session

import (
	"reflect"
	"slices"
	"sync"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/run"
)

const (
	// maxEvents bounds the events that wait to be stored; beyond it the oldest go.
	maxEvents = 256
	// maxBatch bounds the reports of one request, of at most some 40 KiB each beside their details.
	maxBatch = 50
	// maxDetails bounds the details of one request together: with those it stays well below rpc.MaxMessage.
	maxDetails = 1 << 20
)

// outbox is what the hub has yet to be told: the latest report on each Assignment, and recent events. A report stays
// known after it was stored, because a new session is told everything again.
type outbox struct {
	wake run.Wake

	mu     sync.Mutex
	latest map[fleet.Key]*entry
	// dirty are the keys to be sent, in the order in which they became so.
	dirty []fleet.Key
	// change numbers what was put in, so that what was stored is told from what came since.
	change uint64
	events []fleet.Event
	number uint64
}

type entry struct {
	report fleet.Report
	change uint64
	dirty  bool
}

// batch is what one request carries.
type batch struct {
	reports []fleet.Report
	changes []uint64
	events  []fleet.Event
	// more says that this is not all.
	more bool
}

// newOutbox numbers events from the spoke's start on, so that no number is used again: 2^20 events a millisecond.
func newOutbox(started time.Time) *outbox {
	return &outbox{wake: run.NewWake(), latest: map[fleet.Key]*entry{}, number: uint64(started.UnixMilli()) << 20}
}

// report puts in the latest word on an Assignment. One that says nothing new is dropped.
func (o *outbox) report(report fleet.Report) {
	o.mu.Lock()
	defer o.mu.Unlock()
	e := o.latest[report.App]
	if e == nil {
		e = &entry{}
		o.latest[report.App] = e
	} else if sameReport(e.report, report) {
		return
	}
	o.change++
	e.report, e.change = report, o.change
	o.mark(e)
	o.wake.Set()
}

// forget drops an Assignment that has left the desired state.
func (o *outbox) forget(app fleet.Key) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.latest, app)
	o.dirty = slices.DeleteFunc(o.dirty, func(key fleet.Key) bool { return key == app })
}

// event puts in an event and gives it its number.
func (o *outbox) event(event fleet.Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.number++
	event.Number = o.number
	o.events = append(o.events, event)
	if extra := len(o.events) - maxEvents; extra > 0 {
		o.events = append(o.events[:0], o.events[extra:]...)
	}
	o.wake.Set()
}

// begin makes everything unsent: a new session begins.
func (o *outbox) begin() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, e := range o.latest {
		o.mark(e)
	}
	o.wake.Set()
}

// next is what to send now.
func (o *outbox) next() batch {
	o.mu.Lock()
	defer o.mu.Unlock()
	b := batch{events: slices.Clone(o.events)}
	details := 0
	for n, app := range o.dirty {
		e := o.latest[app]
		if details += len(e.report.Detail); n == maxBatch || n > 0 && details > maxDetails {
			b.more = true
			break
		}
		b.reports, b.changes = append(b.reports, e.report), append(b.changes, e.change)
	}
	return b
}

// stored takes note that a batch was stored.
func (o *outbox) stored(b batch) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i, report := range b.reports {
		if e := o.latest[report.App]; e != nil && e.change == b.changes[i] {
			e.dirty = false
		}
	}
	o.dirty = slices.DeleteFunc(o.dirty, func(app fleet.Key) bool { return !o.latest[app].dirty })
	if n := len(b.events); n > 0 {
		last := b.events[n-1].Number
		for len(o.events) > 0 && o.events[0].Number <= last {
			o.events = o.events[1:]
		}
	}
}

func (o *outbox) mark(e *entry) {
	if !e.dirty {
		e.dirty = true
		o.dirty = append(o.dirty, e.report.App)
	}
}

// sameReport compares all but the time of observation.
func sameReport(a, b fleet.Report) bool {
	a.ObservedAt, b.ObservedAt = time.Time{}, time.Time{}
	return reflect.DeepEqual(a, b)
}
