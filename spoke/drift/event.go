package drift

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"flotilla.dev/flotilla/pkg/fleet"
)

// event is what a watch or a list says of an object.
type event struct {
	ref   fleet.ObjectRef
	facts Facts
	live  *metav1.PartialObjectMetadata
	// gone: the object is missing. Gap: from a list. Version is the list's, or the event's, resourceVersion.
	gone    bool
	gap     bool
	version uint64
}

// news is told to Seen and Changed after the lock is released.
type news struct {
	ref   fleet.ObjectRef
	live  *metav1.PartialObjectMetadata
	ready bool
	// turned: the object is to be left alone, and was not before.
	turned bool
}

// handle judges an event of a tracked object, or holds it while the object is being written. The caller holds the lock
// and passes on the news.
func (t *Tracker) handle(k *kind, o *object, e event) *news {
	if h := t.busy[o]; h != nil {
		if h.event == nil || e.version >= h.event.version {
			h.event = &e
		}
		return nil
	}
	if e.gap && e.version < o.seen || e.gone && !e.gap && e.version <= o.seen {
		return nil // older than our last write
	}
	verdict := Missing
	if !e.gone {
		verdict = Judge(o.State, o.seen, e.facts, k.trusted, e.gap)
	}
	if verdict == Old {
		return nil
	}
	o.seen = e.version
	if !e.gone {
		o.seen = e.facts.ResourceVersion
	}
	k.highest = max(k.highest, o.seen)
	said := &news{ref: e.ref, live: e.live}
	switch verdict {
	case Clean:
		if o.Clean != e.facts.ResourceVersion && t.pending(o) == nil {
			o.Clean, o.Ready = e.facts.ResourceVersion, false
			t.save(e.ref, o)
		}
		said.ready = o.Ready && o.Clean == e.facts.ResourceVersion
	case Leave:
		said.turned = !o.Left
		o.Left, o.Clean, o.Ready, o.Doubted = true, e.facts.ResourceVersion, false, false
		t.settle(o)
		t.save(e.ref, o)
	case Ending:
		t.settle(o)
	default:
		t.note(o, Finding{Ref: e.ref, Verdict: verdict, Live: e.live, Left: o.Left})
	}
	return said
}

// end takes in the result of a write and judges what came meanwhile.
func (t *Tracker) end(ref fleet.ObjectRef, o *object, meta *metav1.PartialObjectMetadata, unsure bool) {
	t.mu.Lock()
	h := t.busy[o]
	delete(t.busy, o)
	close(h.done)
	k, current := t.find(ref)
	if current != o {
		t.mu.Unlock()
		return // forgotten meanwhile
	}
	var said *news
	turned := meta != nil && o.Left
	switch {
	case meta != nil:
		before := o.seen
		t.written(k, o, ref, meta)
		if o.seen != before {
			// The answer may hold what others wrote meanwhile, whose events are old by now.
			said = &news{ref: ref.ID(), live: meta, ready: o.Ready}
		}
	case unsure:
		t.note(o, Finding{Ref: ref.ID(), Verdict: Doubtful, Left: o.Left})
	case t.pending(o) != nil:
		t.requeue(o, ref.ID())
	}
	var later *news
	if h.event != nil {
		later = t.handle(k, o, *h.event)
	}
	t.mu.Unlock()
	t.tell(said)
	t.tell(later)
	if turned {
		t.changed(ref.ID())
	}
}

// written notes an object as it is right after our write.
func (t *Tracker) written(k *kind, o *object, ref fleet.ObjectRef, meta *metav1.PartialObjectMetadata) {
	f := t.config.Facts(meta)
	ready := o.Ready && o.Clean == f.ResourceVersion
	o.State = State{UID: UIDOf(f.UID), Clean: f.ResourceVersion, Hash: f.Hash, Generation: f.Generation, Time: f.Time, Ready: ready}
	o.seen = f.ResourceVersion
	k.highest = max(k.highest, o.seen)
	t.settle(o)
	if f.Disowned && !f.Left { // others were faster, several times
		t.note(o, Finding{Ref: ref.ID(), Verdict: Drifted, Live: meta})
	}
	t.save(ref, o)
}

func (t *Tracker) tell(said *news) {
	if said != nil && t.config.Seen != nil {
		t.config.Seen(said.ref, said.live, said.ready)
	}
	if said != nil && said.turned {
		t.changed(said.ref)
	}
}

func (t *Tracker) changed(ref fleet.ObjectRef) {
	if t.config.Changed != nil {
		t.config.Changed(ref)
	}
}
