package drift

import (
	"context"
	"fmt"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
)

// trouble is kept of an object while something is the matter with it, and for a while after.
type trouble struct {
	ref     fleet.ObjectRef
	finding *Finding
	// streak counts corrections, and failures attempts that failed, each soon after the one before.
	streak   int
	failures int
	// last is when the object was last corrected; notBefore is when it may be again.
	last      time.Time
	notBefore time.Time
	// conflict says that somebody fights for the object, or why it cannot be put right.
	conflict string
}

const (
	// soon: a correction that follows the one before by less is part of the same fight.
	soon = 10 * time.Second
	// patience is how many corrections in a row are made at once. A person who tries again three times is no fight.
	patience = 4
	// backoffFirst doubles with every further correction or failure, up to backoffMax.
	backoffFirst = time.Second
	backoffMax   = 5 * time.Minute
)

// note records a finding and has it dealt with as soon as the object's back-off allows.
func (t *Tracker) note(o *object, finding Finding) {
	if finding.Left && finding.Verdict == Doubtful && finding.Live == nil {
		return // asked of everything, and this is not to be touched
	}
	tr := t.troubles[o]
	if tr == nil {
		tr = &trouble{ref: finding.Ref}
		t.troubles[o] = tr
	}
	finding.Known = o.State
	tr.finding = &finding
	t.requeue(o, finding.Ref)
}

func (t *Tracker) requeue(o *object, ref fleet.ObjectRef) {
	if wait := time.Until(t.troubles[o].notBefore); wait > 0 {
		t.queue.AddAfter(ref, wait)
		return
	}
	t.queue.Add(ref)
}

// settle drops the finding; the history of the fight stays.
func (t *Tracker) settle(o *object) {
	if tr := t.troubles[o]; tr != nil {
		tr.finding = nil
	}
}

func (t *Tracker) pending(o *object) *Finding {
	if tr := t.troubles[o]; tr != nil {
		return tr.finding
	}
	return nil
}

func (t *Tracker) work(ctx context.Context) {
	for {
		ref, stop := t.queue.Get()
		if stop {
			return
		}
		t.correct(ctx, ref)
		t.queue.Done(ref)
	}
}

// correct deals with the finding about an object, if there still is one and its time has come.
func (t *Tracker) correct(ctx context.Context, ref fleet.ObjectRef) {
	t.mu.Lock()
	_, o := t.find(ref)
	if o == nil || t.pending(o) == nil || t.busy[o] != nil || ctx.Err() != nil {
		t.mu.Unlock()
		return // whoever writes it asks again
	}
	tr := t.troubles[o]
	if time.Until(tr.notBefore) > 0 {
		t.requeue(o, ref)
		t.mu.Unlock()
		return
	}
	finding := *tr.finding
	t.busy[o] = &hold{done: make(chan struct{})}
	t.mu.Unlock()

	result, err := t.config.Correct(ctx, finding)

	t.mu.Lock()
	changed := false
	switch {
	case err != nil:
		changed = tr.failed(err)
	case result.Outcome == Corrected:
		changed = tr.corrected(result.Wrote)
	case result.Outcome == Ignored:
		if finding.Live != nil {
			o.Clean = parseVersion(finding.Live.ResourceVersion)
			t.save(ref, o)
		}
		t.settle(o)
	}
	t.mu.Unlock()
	if result.Outcome == Postponed && err == nil {
		t.release(ref, o)
	} else {
		t.end(ref, o, result.Meta, false)
	}
	if changed && t.config.Fought != nil {
		t.config.Fought(ref)
	}
}

// release ends a hold without dealing with the finding.
func (t *Tracker) release(ref fleet.ObjectRef, o *object) {
	t.mu.Lock()
	h := t.busy[o]
	delete(t.busy, o)
	close(h.done)
	var said *news
	if k, current := t.find(ref); current == o && h.event != nil {
		said = t.handle(k, o, *h.event)
	}
	t.mu.Unlock()
	t.tell(said)
}

// corrected notes a correction and reports whether the conflict began or ended.
func (tr *trouble) corrected(wrote bool) (changed bool) {
	now := time.Now()
	tr.failures = 0
	before := tr.conflict != ""
	if wrote {
		tr.streak++
		if now.Sub(tr.last) > soon+2*tr.backoff() {
			tr.streak = 1
		}
		tr.last = now
		tr.notBefore = now.Add(tr.backoff())
	}
	tr.conflict = ""
	if tr.streak > patience {
		tr.conflict = fmt.Sprintf("changed by others and put back %d times in a row", tr.streak)
	}
	return before != (tr.conflict != "")
}

func (tr *trouble) failed(err error) (changed bool) {
	before := tr.conflict
	tr.failures++
	tr.last = time.Now()
	tr.notBefore = tr.last.Add(min(backoffFirst<<min(tr.failures-1, 12), backoffMax))
	if tr.failures > 1 { // one failure may be a restart of the API server
		tr.conflict = "cannot be put right: " + err.Error()
	}
	return before != tr.conflict
}

// backoff is the pause after the newest correction.
func (tr *trouble) backoff() time.Duration {
	if tr.streak < patience {
		return 0
	}
	return min(backoffFirst<<min(tr.streak-patience, 12), backoffMax)
}

// Conflicts returns the objects that are fought over, or cannot be put right, and why.
func (t *Tracker) Conflicts() map[fleet.ObjectRef]string {
	t.mu.Lock()
	defer t.mu.Unlock()
	conflicts := map[fleet.ObjectRef]string{}
	for _, tr := range t.troubles {
		if tr.conflict != "" {
			conflicts[tr.ref] = tr.conflict
		}
	}
	return conflicts
}

// sweep forgets troubles that are over.
func (t *Tracker) sweep() {
	t.mu.Lock()
	var over []fleet.ObjectRef
	for o, tr := range t.troubles {
		if tr.finding != nil || time.Since(tr.last) <= soon+2*tr.backoff() {
			continue
		}
		delete(t.troubles, o)
		if tr.conflict != "" {
			over = append(over, tr.ref)
		}
	}
	t.mu.Unlock()
	for _, ref := range over {
		if t.config.Fought != nil {
			t.config.Fought(ref)
		}
	}
}
