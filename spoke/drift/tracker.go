package drift

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/util/workqueue"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/run"
)

// Kind is how the objects of a kind are watched.
type Kind struct {
	Resource schema.GroupVersionResource
	// Trusted is Trusted of the kind.
	Trusted bool
}

// Finding is an object that is not, or may not be, as it was applied.
type Finding struct {
	Ref fleet.ObjectRef
	// Verdict is Drifted, Doubtful or Missing.
	Verdict Verdict
	// Live is the object's metadata, nil where it is missing or not known.
	Live *metav1.PartialObjectMetadata
	// Left says that the object was one not to be touched when it was last seen.
	Left bool
	// Known is what was known of the object.
	Known State
}

// Outcome is what became of a Finding.
type Outcome uint8

// The outcomes.
const (
	// Corrected: the object is as applied now; with a conflict if somebody keeps changing it.
	Corrected Outcome = iota
	// Ignored: this finding needs no correction.
	Ignored
	// Postponed: not now; Kick asks again.
	Postponed
)

// Correction is the answer to a Finding.
type Correction struct {
	Outcome Outcome
	// Meta is the object after a correction. Wrote says that it had to be written.
	Meta  *metav1.PartialObjectMetadata
	Wrote bool
}

// Config is what a Tracker needs.
type Config struct {
	Client metadata.Interface
	// Selector is the label selector of every watch.
	Selector string
	// Map finds how a kind is watched. An error is tried again.
	Map func(context.Context, fleet.ObjectRef) (Kind, error)
	// Facts reads metadata.
	Facts func(*metav1.PartialObjectMetadata) Facts
	// Correct puts an object right. It is called once at a time for an object, and never while Begin holds it.
	Correct func(context.Context, Finding) (Correction, error)
	// Seen is told of every event that is news, with nil metadata when the object is gone; ready is State.Ready as far
	// as it still holds. It must not block.
	Seen func(ref fleet.ObjectRef, live *metav1.PartialObjectMetadata, ready bool)
	// Changed is told when an object gets into, or out of, a conflict, and when it is to be left alone, or no more. It
	// must not block.
	Changed func(fleet.ObjectRef)
	// Memory outlives the process. Nil: everything is looked at once after a restart.
	Memory *Memory
	Log    *slog.Logger
}

// Tracker watches objects and has drift corrected.
type Tracker struct {
	config Config
	queue  workqueue.TypedDelayingInterface[fleet.ObjectRef]
	wake   run.Wake

	mu    sync.Mutex
	kinds map[schema.GroupKind]*kind
	// What is true of few objects at a time is not kept with each.
	busy     map[*object]*hold
	troubles map[*object]*trouble
}

// object is what is kept of every tracked object.
type object struct {
	State
	// seen is the newest resourceVersion that was judged or written.
	seen uint64
}

type place struct{ namespace, name string }

type kind struct {
	gk      schema.GroupKind
	version string
	objects map[place]*object
	trusted bool
	synced  bool
	// highest is the newest resourceVersion ever seen of the kind: a list below it is of another past.
	highest uint64
	cancel  context.CancelFunc
}

// hold is what waits for a write under way.
type hold struct {
	done  chan struct{}
	event *event
}

const (
	// Workers is how many corrections run at once.
	Workers = 8
	// claimTime is how long after the start what Memory has of objects that nobody tracks is kept.
	claimTime = time.Hour
)

// NewTracker returns a Tracker that does nothing until Run.
func NewTracker(config Config) *Tracker {
	config.Log = cmp.Or(config.Log, slog.New(slog.DiscardHandler))
	return &Tracker{
		config:   config,
		queue:    workqueue.NewTypedDelayingQueue[fleet.ObjectRef](),
		wake:     run.NewWake(),
		kinds:    map[schema.GroupKind]*kind{},
		busy:     map[*object]*hold{},
		troubles: map[*object]*trouble{},
	}
}

// Run watches and corrects until the context ends. What is known by then is on the volume when it returns.
func (t *Tracker) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for range Workers {
		group.Go(func() error { t.work(ctx); return nil })
	}
	group.Go(func() error {
		<-ctx.Done()
		t.queue.ShutDown()
		return nil
	})
	var watches sync.WaitGroup
	group.Go(func() error {
		defer watches.Wait()
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		claimed := time.NewTimer(claimTime)
		defer claimed.Stop()
		for {
			t.startWatches(ctx, &watches)
			select {
			case <-ctx.Done():
				t.flush()
				return nil
			case <-t.wake.C():
			case <-claimed.C:
				t.config.Memory.dropUnclaimed()
			case <-tick.C:
				t.sweep()
				t.flush()
			}
		}
	})
	return group.Wait()
}

// Memory is Config.Memory.
func (t *Tracker) Memory() *Memory { return t.config.Memory }

// Track begins to watch an object of which the inventory says that it is ours. What Memory knows of it counts;
// otherwise it is looked at once.
func (t *Tracker) Track(ref fleet.ObjectRef) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, o := t.find(ref); o != nil {
		return
	}
	o := t.add(ref)
	if t.kinds[groupKind(ref)].synced {
		// The list that would have shown it is over.
		o.seen = 0
		t.note(o, Finding{Ref: ref.ID(), Verdict: Doubtful})
	}
}

// Forget stops watching an object.
func (t *Tracker) Forget(ref fleet.ObjectRef) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k, o := t.find(ref)
	if o == nil {
		return
	}
	delete(k.objects, placeOf(ref))
	delete(t.troubles, o)
	t.config.Memory.drop(ref.ID())
}

// Begin waits until nobody writes the object, and has its events held until the returned function is called: with the
// object's metadata after a write, nil when nothing was written, or unsure when that is not known. Who writes an
// object that is not tracked yet makes it tracked by this.
func (t *Tracker) Begin(ctx context.Context, ref fleet.ObjectRef) (func(meta *metav1.PartialObjectMetadata, unsure bool), error) {
	for {
		t.mu.Lock()
		_, o := t.find(ref)
		if o == nil {
			o = t.add(ref)
		}
		h := t.busy[o]
		if h == nil {
			t.busy[o] = &hold{done: make(chan struct{})}
			t.mu.Unlock()
			return func(meta *metav1.PartialObjectMetadata, unsure bool) { t.end(ref, o, meta, unsure) }, nil
		}
		t.mu.Unlock()
		select {
		case <-h.done:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// Leave notes that the object is in the cluster and not to be touched.
func (t *Tracker) Leave(ref fleet.ObjectRef) {
	t.mu.Lock()
	_, o := t.find(ref)
	if o == nil {
		o = t.add(ref)
	}
	turned := !o.Left
	o.Left = true
	t.settle(o)
	t.save(ref, o)
	t.mu.Unlock()
	if turned {
		t.changed(ref)
	}
}

// Kick has postponed findings looked at again.
func (t *Tracker) Kick(refs ...fleet.ObjectRef) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, ref := range refs {
		if _, o := t.find(ref); o != nil && t.pending(o) != nil {
			t.queue.Add(ref.ID())
		}
	}
}

// Doubt has objects looked at, whatever is known of them, over a restart too.
func (t *Tracker) Doubt(refs ...fleet.ObjectRef) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, ref := range refs {
		if _, o := t.find(ref); o != nil {
			t.doubt(ref.ID(), o)
		}
	}
}

func (t *Tracker) doubt(id fleet.ObjectRef, o *object) {
	if o.Left {
		return // it is not to be touched
	}
	o.Doubted = true
	t.save(id, o)
	t.note(o, Finding{Ref: id, Verdict: Doubtful})
}

// DoubtKind is Doubt of all objects of the kinds that match.
func (t *Tracker) DoubtKind(matches func(schema.GroupKind) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for gk, k := range t.kinds {
		if !matches(gk) {
			continue
		}
		for p, o := range k.objects {
			t.doubt(k.ref(p), o)
		}
	}
}

// Moved reports whether there is a finding about the object that has not been dealt with.
func (t *Tracker) Moved(ref fleet.ObjectRef) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, o := t.find(ref)
	return o != nil && t.pending(o) != nil
}

// Left reports whether the object was last seen as one not to be touched.
func (t *Tracker) Left(ref fleet.ObjectRef) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, o := t.find(ref)
	return o != nil && o.Left
}

// Known returns what is known of an object.
func (t *Tracker) Known(ref fleet.ObjectRef) State {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, o := t.find(ref); o != nil {
		return o.State
	}
	return State{}
}

// SetReady keeps with the object whether it was healthy at that resourceVersion.
func (t *Tracker) SetReady(ref fleet.ObjectRef, version string, ready bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, o := t.find(ref); o != nil && o.Clean == parseVersion(version) && o.Ready != ready {
		o.Ready = ready
		t.save(ref, o)
	}
}

func (t *Tracker) find(ref fleet.ObjectRef) (*kind, *object) {
	k := t.kinds[groupKind(ref)]
	if k == nil {
		return nil, nil
	}
	return k, k.objects[placeOf(ref)]
}

// add begins to track; the caller holds the lock and knows that the object is not tracked.
func (t *Tracker) add(ref fleet.ObjectRef) *object {
	gk := groupKind(ref)
	k := t.kinds[gk]
	if k == nil {
		k = &kind{gk: gk, version: ref.Version, objects: map[place]*object{}}
		t.kinds[gk] = k
		t.wake.Set()
	}
	o := &object{}
	if state, found := t.config.Memory.state(ref.ID()); found {
		o.State, o.seen = state, state.Clean
		k.highest = max(k.highest, state.Clean)
	}
	k.objects[placeOf(ref)] = o
	return o
}

func (t *Tracker) save(ref fleet.ObjectRef, o *object) { t.config.Memory.put(ref.ID(), o.State) }

func (t *Tracker) flush() {
	err := t.config.Memory.flush(func(yield func(fleet.ObjectRef, State) bool) {
		t.mu.Lock()
		defer t.mu.Unlock()
		for _, k := range t.kinds {
			for p, o := range k.objects {
				if !yield(k.ref(p), o.State) {
					return
				}
			}
		}
	})
	if err != nil {
		t.config.Log.Warn("what was seen of objects is not saved; after a restart they are looked at once", "err", err)
	}
}

func (k *kind) ref(p place) fleet.ObjectRef {
	return fleet.ObjectRef{Group: k.gk.Group, Kind: k.gk.Kind, Namespace: p.namespace, Name: p.name}
}

func groupKind(ref fleet.ObjectRef) schema.GroupKind {
	return schema.GroupKind{Group: ref.Group, Kind: ref.Kind}
}

func placeOf(ref fleet.ObjectRef) place { return place{ref.Namespace, ref.Name} }
