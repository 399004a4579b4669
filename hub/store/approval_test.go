package store_test

import (
	"testing"
	"time"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
)

// spokeWord is what the spoke of prod-1 says of the App: what it holds, of the Assignment as it is now.
type spokeWord struct {
	*bundle
	session  fleet.Session
	sequence uint64
}

func (b *bundle) spoke() *spokeWord {
	b.t.Helper()
	return &spokeWord{bundle: b, session: b.connect("prod-1", fleet.StateID{})}
}

// holds stores the spoke's word, and has a rollout look at it. It returns what is approved then.
func (w *spokeWord) holds(held *fleet.HeldPrune) fleet.Digest {
	w.t.Helper()
	assignment := w.instances()["prod-1"].Assignment
	w.sequence++
	report := fleet.Report{App: appKey, Epoch: 1, Generation: assignment.Generation, Release: assignment.Release.Digest(), Applied: assignment.Release.Digest(),
		Stage: fleet.StageSettled, Waiting: fleet.WaitingNone, HeldPrune: held, ObservedAt: time.Now()}
	if err := w.StoreReports(w.t.Context(), w.session.Cluster, fleet.ReportBatch{Session: w.session.Number, Sequence: w.sequence, Reports: []fleet.Report{report}}); err != nil {
		w.t.Fatal(err)
	}
	return w.step()
}

func (w *spokeWord) step() fleet.Digest {
	w.t.Helper()
	if _, err := w.Roll(w.t.Context(), appKey, rollout.Next); err != nil {
		w.t.Fatal(err)
	}
	return w.instances()["prod-1"].Assignment.ApprovedPrune
}

// approve has a person approve what is held, and a rollout hand that on.
func (w *spokeWord) approve(held *fleet.HeldPrune) {
	w.t.Helper()
	one := uint32(1)
	if _, err := w.ApprovePrune(w.t.Context(), admin, appKey, "", held.Digest, fleet.Order{Confirm: &one}); err != nil {
		w.t.Fatal(err)
	}
	if got := w.step(); got != held.Digest {
		w.t.Fatalf("approved is %s", got)
	}
}

func TestAnApprovalIsSpentOnceTheSpokeHasActedOnIt(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.running()
	spoke := b.spoke()
	held := &fleet.HeldPrune{Digest: fleet.DigestOf([]byte("set")), Count: 1}
	spoke.holds(held)
	spoke.approve(held)
	if got := spoke.holds(held); got != held.Digest {
		t.Fatalf("approved is %s before the spoke has acted on it", got)
	}
	if got := spoke.holds(nil); !got.IsZero() {
		t.Errorf("approved is %s when all of it is gone", got)
	}
	if got := spoke.holds(held); !got.IsZero() {
		t.Errorf("approved is %s when the same set is held again", got)
	}
}

func TestAnApprovalEndsWithTheReleaseThatWouldHavePruned(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.placed()
	b.release("main@sha1:1", "one")
	b.roll()
	b.release("main@sha1:2", "two")
	b.roll()
	spoke := b.spoke()
	held := &fleet.HeldPrune{Digest: fleet.DigestOf([]byte("set")), Count: 1}
	spoke.holds(held)
	spoke.approve(held)
	b.release("main@sha1:3", "one")
	b.roll()
	spoke.holds(nil)
	b.release("main@sha1:4", "two")
	b.roll()
	if got := spoke.holds(held); !got.IsZero() {
		t.Errorf("approved is %s for the Release that is back", got)
	}
}

// The Assignment changed while a person approved.
func TestAnApprovalThatCameTooLateIsForgotten(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.running()
	spoke := b.spoke()
	held := &fleet.HeldPrune{Digest: fleet.DigestOf([]byte("set")), Count: 1}
	spoke.holds(held)
	one := uint32(1)
	if _, err := b.ApprovePrune(t.Context(), admin, appKey, "", held.Digest, fleet.Order{Confirm: &one}); err != nil {
		t.Fatal(err)
	}
	b.release("main@sha1:2", "two")
	b.roll()
	b.release("main@sha1:3", "one")
	b.roll()
	if got := spoke.holds(held); !got.IsZero() {
		t.Errorf("approved is %s", got)
	}
}
