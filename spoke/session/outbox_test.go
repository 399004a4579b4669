package session

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"flotilla.dev/flotilla/pkg/fleet"
)

func reportOf(n int, generation uint64) fleet.Report {
	return fleet.Report{App: appKey(n), Generation: generation, Stage: fleet.StageApplying}
}

// generations is what a batch says, by App.
func generations(b batch) map[string]uint64 {
	result := map[string]uint64{}
	for _, r := range b.reports {
		result[r.App.Name] = r.Generation
	}
	return result
}

func TestLatestReportWinsAndIsSentUntilItIsStored(t *testing.T) {
	t.Parallel()
	o := newOutbox(time.Now())
	o.report(reportOf(0, 1))
	o.report(reportOf(1, 1))
	o.report(reportOf(0, 2))
	first := o.next()
	if got := generations(first); len(first.reports) != 2 || got["app0"] != 2 || got["app1"] != 1 {
		t.Errorf("first batch: %v", got)
	}
	if got := o.next(); len(got.reports) != 2 {
		t.Errorf("not stored, %d reports are sent again", len(got.reports))
	}
	o.report(reportOf(0, 3)) // news while the batch is on its way
	o.stored(first)
	if got := generations(o.next()); len(got) != 1 || got["app0"] != 3 {
		t.Errorf("after the first was stored: %v", got)
	}
	o.stored(o.next())
	if got := o.next(); len(got.reports) != 0 {
		t.Errorf("all stored, still %v", generations(got))
	}
}

func TestReportThatSaysNothingNewIsNotSent(t *testing.T) {
	t.Parallel()
	o := newOutbox(time.Now())
	report := reportOf(0, 1)
	report.NotReady = []fleet.ObjectStatus{{Status: "InProgress"}}
	o.report(report)
	o.stored(o.next())
	<-o.wake.C()
	report.ObservedAt = time.Now()
	report.NotReady = slices.Clone(report.NotReady)
	o.report(report)
	if got := o.next(); len(got.reports) != 0 {
		t.Error("the same report is sent again")
	}
	select {
	case <-o.wake.C():
		t.Error("the reporter was woken for nothing")
	default:
	}
}

func TestNewSessionIsToldEverythingAgainExceptWhatIsForgotten(t *testing.T) {
	t.Parallel()
	o := newOutbox(time.Now())
	o.report(reportOf(0, 1))
	o.report(reportOf(1, 1))
	o.report(reportOf(2, 1))
	o.forget(appKey(2))
	o.stored(o.next())
	o.forget(appKey(0))
	o.begin()
	if got := generations(o.next()); len(got) != 1 || got["app1"] != 1 {
		t.Errorf("told is %v, want app1 alone", got)
	}
}

func TestManyReportsGoInBoundedBatches(t *testing.T) {
	t.Parallel()
	o := newOutbox(time.Now())
	const n = 2*maxBatch + 1
	for i := range n {
		r := reportOf(i, 1)
		long := strings.Repeat("x", 3*maxText)
		r.Ready, r.Healthy = fleet.Condition{Message: long}, fleet.Condition{Message: long}
		for range 10 {
			r.NotReady = append(r.NotReady, fleet.ObjectStatus{Message: long})
		}
		r.Detail = bytes.Repeat([]byte("x"), fleet.MaxDetail)
		o.report(r)
	}
	for range 2 * maxEvents {
		o.event(fleet.Event{Message: strings.Repeat("x", 3*maxText)})
	}
	c := &Client{outbox: o, replica: &replica{}}
	seen := map[string]bool{}
	for more := true; more; {
		b := o.next()
		if size := proto.Size(c.request(b)); size > 4<<20 {
			t.Errorf("a request has %d bytes", size)
		}
		for app := range generations(b) {
			seen[app] = true
		}
		o.stored(b)
		more = b.more
	}
	if len(seen) != n {
		t.Errorf("%d of %d Assignments were reported", len(seen), n)
	}
}

func TestEventsAreNumberedOnceAndForAllAndBounded(t *testing.T) {
	t.Parallel()
	started := time.Now()
	o, later := newOutbox(started), newOutbox(started.Add(time.Second))
	for i := range maxEvents + 10 {
		o.event(fleet.Event{Message: fmt.Sprint(i)})
	}
	later.event(fleet.Event{})
	b := o.next()
	if len(b.events) != maxEvents || b.events[0].Message != "10" {
		t.Errorf("%d events from %q on, want the last %d", len(b.events), b.events[0].Message, maxEvents)
	}
	for i := 1; i < len(b.events); i++ {
		if b.events[i].Number <= b.events[i-1].Number {
			t.Fatal("numbers do not grow")
		}
	}
	if next := later.next().events[0].Number; next <= b.events[len(b.events)-1].Number {
		t.Error("a number is used again after a restart")
	}
	o.event(fleet.Event{Message: "new"})
	o.stored(b)
	if left := o.next().events; len(left) != 1 || left[0].Message != "new" {
		t.Errorf("left are %v", left)
	}
}

func TestTextFromAnywhereIsFitToBeSent(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"a\xff\xfeb", strings.Repeat("é", maxText), strings.Repeat("x", maxText-1) + "é…"} {
		got := clean(text)
		if !utf8.ValidString(got) || len(got) > maxText+len("…") {
			t.Errorf("clean gives %d bytes, valid: %t", len(got), utf8.ValidString(got))
		}
	}
	if got := clean("fine"); got != "fine" {
		t.Errorf("clean changes %q", got)
	}
}
