package health

import (
	"context"
	"errors"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"flotilla.dev/flotilla/pkg/expr"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/run"
)

const (
	// maxLookouts bounds the watches of single objects; what more there is is read every lookoutPeriod.
	maxLookouts   = 32
	lookoutPeriod = 15 * time.Second
	// lookoutRest is the pause between two reads of an object that moves all the time, lookoutRetry that after an error.
	lookoutRest  = time.Second
	lookoutRetry = 5 * time.Second
)

// LookoutConfig is what a Lookout needs.
type LookoutConfig struct {
	// Read is as Config.Read, on behalf of the App that waits for the object.
	Read func(ctx context.Context, app fleet.Key, ref fleet.ObjectRef) (*unstructured.Unstructured, error)
	// Follow calls moved whenever the object may have changed, until the context ends or it cannot be followed. It is on
	// behalf of the App too: when something changes can tell as much as what.
	Follow func(ctx context.Context, app fleet.Key, ref fleet.ObjectRef, moved func()) error
	// Changed is told when a state or message changed that an App waits for. It must not block.
	Changed func(app fleet.Key)
}

// Lookout follows objects that Apps wait for and that are not their own.
type Lookout struct {
	config  LookoutConfig
	watches chan struct{} // a token each

	mu      sync.Mutex
	apps    map[fleet.Key]map[fleet.ObjectRef]*sighting
	running context.Context // nil: it does not run
	group   sync.WaitGroup
}

// sighting is an object that an App waits for, as it was last seen. Status and by are shared.
type sighting struct {
	app    fleet.Key
	ref    fleet.ObjectRef
	by     *expr.Health
	as     string // who reads it
	status fleet.ObjectStatus
	wake   run.Wake
	stop   context.CancelFunc // nil: it is not followed yet
}

// NewLookout returns a Lookout that looks at nothing until Run.
func NewLookout(config LookoutConfig) *Lookout {
	return &Lookout{config: config, watches: make(chan struct{}, maxLookouts), apps: map[fleet.Key]map[fleet.ObjectRef]*sighting{}}
}

// Run follows what was and is asked for until the context ends.
func (l *Lookout) Run(ctx context.Context) error {
	l.mu.Lock()
	l.running = ctx
	for _, sightings := range l.apps {
		for _, s := range sightings {
			l.begin(s)
		}
	}
	l.mu.Unlock()
	<-ctx.Done()
	l.mu.Lock()
	l.running = nil
	l.mu.Unlock()
	l.group.Wait()
	return nil
}

// Follow has exactly these objects followed for an App, and judged by its expressions. As names who reads them on its
// behalf: what another one saw counts no more.
func (l *Lookout) Follow(app fleet.Key, refs []fleet.ObjectRef, by *expr.Health, as string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := l.apps[app]
	after := make(map[fleet.ObjectRef]*sighting, len(refs))
	for _, ref := range refs {
		s := before[ref]
		if s != nil && s.as != as {
			s = nil
		}
		if s == nil || s.by != by {
			defer func() { after[ref].wake.Set() }()
		}
		if s == nil {
			s = &sighting{app: app, ref: ref, as: as, wake: run.NewWake(), status: fleet.ObjectStatus{Object: ref, Status: InProgress, Message: "not looked at yet"}}
		} else if s.by != by && (s.by.Judges(ref) || by.Judges(ref)) {
			s.status = fleet.ObjectStatus{Object: ref, Status: InProgress, Message: "not looked at by these expressions yet"}
		}
		s.by = by
		after[ref] = s
		if s.stop == nil {
			l.begin(s)
		}
	}
	for ref, s := range before {
		if after[ref] != s && s.stop != nil {
			s.stop()
		}
	}
	l.apps[app] = after
	if len(after) == 0 {
		delete(l.apps, app)
	}
}

// NotReady returns those of the objects an App waits for that are not ready.
func (l *Lookout) NotReady(app fleet.Key) (found []fleet.ObjectStatus) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.apps[app] {
		if s.status.Status != Current {
			found = append(found, s.status)
		}
	}
	return found
}

// begin follows an object; the caller holds the lock.
func (l *Lookout) begin(s *sighting) {
	if l.running == nil {
		return
	}
	ctx, cancel := context.WithCancel(l.running)
	s.stop = cancel
	l.group.Go(func() {
		defer cancel()
		var parts sync.WaitGroup
		parts.Go(func() { l.hear(ctx, s) })
		l.look(ctx, s)
		parts.Wait()
	})
}

// hear wakes who looks when the object moves.
func (l *Lookout) hear(ctx context.Context, s *sighting) {
	for ctx.Err() == nil {
		pause := lookoutPeriod
		select {
		case l.watches <- struct{}{}:
			err := l.config.Follow(ctx, s.app, s.ref, s.wake.Set)
			if err != nil && !errors.Is(err, fleet.ErrDenied) { // who may read it and not watch it reads it now and then
				pause = lookoutRetry // whoever looks says why
			}
			<-l.watches
		default:
		}
		_ = run.Sleep(ctx, run.Jitter(pause, 0.2)) // the loop looks at ctx
		s.wake.Set()
	}
}

// look reads the object whenever it may have moved.
func (l *Lookout) look(ctx context.Context, s *sighting) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake.C():
		}
		l.mu.Lock()
		by := s.by
		l.mu.Unlock()
		object, err := l.config.Read(ctx, s.app, s.ref)
		if ctx.Err() != nil {
			return
		}
		pause := lookoutRest
		state, message := NotFound, "it is not there"
		switch {
		case errors.Is(err, fleet.ErrNotFound):
		case err != nil:
			state, message = InProgress, "it cannot be read: "+shorten(err.Error())
			pause = lookoutRetry
		default:
			state, message = Evaluate(object, by)
		}
		l.set(s, by, state, message)
		if run.Sleep(ctx, pause) != nil {
			return
		}
		if err != nil && !errors.Is(err, fleet.ErrNotFound) {
			s.wake.Set()
		}
	}
}

func (l *Lookout) set(s *sighting, by *expr.Health, state, message string) {
	l.mu.Lock()
	status := fleet.ObjectStatus{Object: s.ref, Status: state, Message: message}
	changed := s.by == by && s.status != status // else it is looked at again
	if changed {
		s.status = status
	}
	l.mu.Unlock()
	if changed {
		l.config.Changed(s.app)
	}
}
