package drift

import (
	"context"

	"flotilla.dev/flotilla/pkg/fleet"
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
	if wait := t.troubles[o].wait(); wait > 0 {
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
	if tr.wait() > 0 {
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
		}
		o.Doubted = false
		t.save(ref, o)
		t.settle(o)
	case tr.finding != nil:
		tr.finding.Live = nil // it may wait for long, and in numbers
	}
	t.mu.Unlock()
	if result.Outcome == Postponed && err == nil {
		t.release(ref, o)
	} else {
		t.end(ref, o, result.Meta, false)
	}
	if changed {
		t.changed(ref)
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
