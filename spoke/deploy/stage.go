package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/manifest"
	"flotilla.dev/flotilla/pkg/run"
	"flotilla.dev/flotilla/spoke/apply"
	"flotilla.dev/flotilla/spoke/inventory"
)

const (
	// parallel is how many objects of an App a pass has under way at once: half of what all passes may.
	parallel = 16
	// definitionTimeout bounds the wait for a CustomResourceDefinition, as Flux's does.
	definitionTimeout = 60 * time.Second
	// handlerTimeout is how long a request about a kind just defined is tried again: its handler may still have the old
	// schema, or none.
	handlerTimeout = 5 * time.Second
)

// step is what a stage does with one object.
type step struct {
	wish
	op      op
	object  apply.Object
	preview apply.Preview
	// before is the inventory's entry before the pass announced a write; had says that there was one.
	before inventory.Entry
	had    bool
	// anew is the object in whose place another one is to be made.
	anew *metav1.PartialObjectMetadata
	// unsure says that the object was, or may have been, written.
	unsure bool
}

// stage brings one stage of the Manifest into the cluster. If the API server refuses any of its changed objects,
// nothing of it is written, except that their managedFields may name another version (apply.Applier.DryRun).
func (p *pass) stage(ctx context.Context, entries []material) error {
	steps, err := p.steps(ctx, entries)
	if err != nil {
		return err
	}
	if err := each(ctx, steps, p.try); err != nil {
		return err
	}
	for _, s := range steps {
		p.announce(s)
	}
	if slices.ContainsFunc(steps, func(s *step) bool { return s.op == write }) {
		if err := p.engine.store.Save(ctx, p.app.inv); err != nil {
			p.app.reload = p.app.reload || isConflict(err)
			p.withdraw(steps)
			return err
		}
	}
	for _, group := range byGroup(steps) {
		if err := each(ctx, group, p.apply); err != nil {
			p.withdraw(steps)
			return err
		}
	}
	return p.awaitDefinitions(ctx, steps)
}

// steps plans the stage.
func (p *pass) steps(ctx context.Context, entries []material) ([]*step, error) {
	var steps []*step
	var problems []error
	for _, entry := range entries {
		w, err := p.place(ctx, entry)
		if err == nil {
			err = p.desire(w)
		}
		if err != nil {
			problems = append(problems, err)
			continue
		}
		steps = append(steps, &step{wish: w, op: plan(w, p.engine.sight(p.app, w), p.target.Verify)})
	}
	return steps, join(problems)
}

// desire notes that an object belongs to the App, even if it did not a pass ago. One that was let go meanwhile may be
// gone: it is intended, as one that never was.
func (p *pass) desire(w wish) error {
	id := w.Ref.ID()
	if other, twice := p.desired[id]; twice {
		return fmt.Errorf("%s: %w: %s (%s) and %s (%s) are the same object",
			w.Ref, fleet.ErrInvalid, other, other.APIVersion(), w.Entry.Ref, w.Entry.Ref.APIVersion())
	}
	p.desired[id] = w.Entry.Ref
	p.app.inv.Edit(w.Ref, wantAgain)
	p.app.mu.Lock()
	defer p.app.mu.Unlock()
	delete(p.app.stale, id)
	return nil
}

func (e *Engine) prepare(ctx context.Context, a *app, w wish) (apply.Object, error) {
	content, err := w.origin.content(ctx, a.blob)
	if err != nil {
		return apply.Object{}, err
	}
	object, err := e.marks.Prepare(content, w.Ref, w.Mapping, a.owner())
	object.Sealed = w.origin.secret
	return object.Leaving(e.agreed(a).ignore), err
}

// try prepares what is sent for an object, and asks the API server whether it would take it.
func (p *pass) try(ctx context.Context, s *step) (err error) {
	switch s.op {
	case verify:
		s.object, err = p.engine.prepare(ctx, p.app, s.wish)
	case write:
		if s.object, err = p.engine.prepare(ctx, p.app, s.wish); err == nil {
			err = p.dryRun(ctx, s)
		}
	}
	return err
}

func (p *pass) dryRun(ctx context.Context, s *step) error {
	deadline := time.Now().Add(handlerTimeout)
	for {
		preview, err := p.terms.by.Applier.DryRun(ctx, s.object)
		if err == nil {
			s.preview = preview
			if preview.Leave {
				s.op = restamp
			}
			return nil
		}
		if !p.defined[kindName{s.Ref.Group, s.Ref.Kind}] || time.Now().After(deadline) {
			return p.refused(ctx, s, err)
		}
		if run.Sleep(ctx, 100*time.Millisecond) != nil {
			return err
		}
	}
}

// refused deals with an object that cannot become what it should be.
func (p *pass) refused(ctx context.Context, s *step, refusal error) error {
	live, leave, err := p.engine.refused(ctx, p.app, p.terms.by.Applier, s.object, refusal)
	if err != nil {
		return err
	}
	s.preview = apply.Preview{UID: live.UID, Version: live.ResourceVersion, Leave: leave}
	if leave {
		s.op = restamp
	} else {
		s.anew = live
	}
	return nil
}

// announce notes in the inventory what is about to be done, so that no crash leaves an object without an owner, or
// content that is not known.
func (p *pass) announce(s *step) {
	s.before, s.had = p.app.inv.Get(s.Ref)
	switch s.op {
	case keep, verify:
		p.note(s) // the same content may be made of something else by now
		return
	case leave:
		p.app.inv.Remove(s.Ref)
		p.engine.disown(p.app, s.Ref)
		return
	case restamp:
		p.engine.tracker.Leave(s.Ref)
	}
	p.app.inv.Put(s.announced())
	if s.op == restamp {
		p.note(s)
	}
	p.engine.claim(s.Ref, p.app)
}

// withdraw takes back what was announced of objects that were not written after all: what was applied before still is,
// and its drift is corrected.
func (p *pass) withdraw(steps []*step) {
	for _, s := range steps {
		switch {
		case s.op != write || s.unsure:
		case s.had:
			p.app.inv.Put(s.before)
		default:
			p.app.inv.Remove(s.Ref)
			p.engine.disown(p.app, s.Ref)
		}
	}
}

// apply writes one object, or finds that it needs no writing.
func (p *pass) apply(ctx context.Context, s *step) error {
	if s.op != write && s.op != verify {
		return nil
	}
	e, a := p.engine, p.app
	end, err := e.tracker.Begin(ctx, s.Ref)
	if err != nil {
		return err
	}
	if s.op == verify && !p.target.Verify && !e.tracker.Moved(s.Ref) {
		end(nil, false)
		return nil // put right since the pass was planned
	}
	known := e.tracker.Known(s.Ref)
	meta, err := p.write(ctx, s)
	if err == nil && s.op == restamp { // since the pass was planned
		end(nil, false)
		p.announce(s)
		return nil
	}
	s.unsure = s.unsure || meta != nil || !isRefusal(err)
	entry, _ := a.inv.Get(s.Ref)
	if err != nil {
		if meta != nil {
			entry.Ref, entry.UID, entry.Applied = s.Ref, string(meta.UID), fleet.Digest{}
			a.inv.Put(entry)
		}
		end(meta, s.unsure)
		return err
	}
	another := entry.UID != string(meta.UID)
	wrote := s.op == write && (s.preview.Create || meta.ResourceVersion != s.preview.Version)
	drifted := s.op == verify && (another || e.wroteSince(known, meta))
	end(meta, false)
	entry.Ref, entry.UID, entry.Applied = s.Ref, string(meta.UID), s.Stamp
	entry.Secret = s.origin.secret || entry.Secret && !another && !s.object.Whole()
	a.inv.Put(entry)
	p.note(s)
	if wrote || drifted || another {
		e.health.Applied(s.Ref, meta)
	}
	p.tally.count(s, wrote, drifted)
	if drifted {
		e.corrected(a, s.Ref, nil)
	}
	if s.Stage == manifest.StageDefinitions && meta.DeletionTimestamp != nil {
		return fmt.Errorf("%s: it is being deleted; it is applied again when it is gone", s.Ref)
	}
	return nil
}

// write applies an object, which may mean to make another one in its place.
func (p *pass) write(ctx context.Context, s *step) (*metav1.PartialObjectMetadata, error) {
	if s.anew == nil {
		meta, err := p.terms.by.Applier.Apply(ctx, s.object, nil)
		if meta != nil || !apply.Immutable(err) {
			return meta, err
		}
		if err := p.refused(ctx, s, err); err != nil || s.anew == nil {
			return nil, err
		}
	}
	s.unsure = true
	if err := p.engine.clear(ctx, p.app, p.terms.by.Applier, s.object, s.anew, goneTimeout); err != nil {
		return nil, err
	}
	return p.terms.by.Applier.Apply(ctx, s.object, nil)
}

// note remembers what an object's content is made of, where the inventory's digest does not tell.
func (p *pass) note(s *step) {
	resolved := s.origin.inputs != nil
	p.app.inv.Edit(s.Ref, func(entry *inventory.Entry) { entry.Resolved = resolved })
	p.app.mu.Lock()
	defer p.app.mu.Unlock()
	if resolved || isSecret(s.Ref) {
		p.app.origins[s.Ref.ID()] = s.origin
	} else {
		delete(p.app.origins, s.Ref.ID())
	}
}

// awaitDefinitions waits until the API server serves the kinds that were defined.
func (p *pass) awaitDefinitions(ctx context.Context, steps []*step) error {
	ctx, cancel := context.WithTimeout(ctx, definitionTimeout)
	defer cancel()
	for _, s := range steps {
		if s.Ref.Group != apply.CRDs.Group || s.Ref.Kind != "CustomResourceDefinition" || s.op != write {
			continue
		}
		crd, err := apply.Established(ctx, p.engine.dynamic, s.Ref.Name)
		if err != nil {
			return err
		}
		p.engine.mapper.Forget(crd.Spec.Group)
		p.defined[kindName{crd.Spec.Group, crd.Spec.Names.Kind}] = true
	}
	return nil
}

func byGroup(steps []*step) (groups [][]*step) {
	for len(steps) > 0 {
		n := slices.IndexFunc(steps, func(s *step) bool { return s.Group != steps[0].Group })
		if n < 0 {
			n = len(steps)
		}
		groups = append(groups, steps[:n])
		steps = steps[n:]
	}
	return groups
}

// each does something with every item, several at a time, and returns what went wrong with all of them.
func each[T any](ctx context.Context, items []T, do func(context.Context, T) error) error {
	var group errgroup.Group
	group.SetLimit(parallel)
	problems := make([]error, len(items))
	for i, item := range items {
		group.Go(func() error {
			problems[i] = do(ctx, item)
			return nil
		})
	}
	_ = group.Wait() // the functions return nil
	return join(slices.DeleteFunc(problems, func(err error) bool { return err == nil }))
}

// maxProblems bounds what one error tells.
const maxProblems = 5

func join(problems []error) error {
	if len(problems) > maxProblems {
		problems = append(slices.Clone(problems[:maxProblems]), fmt.Errorf("and %d more", len(problems)-maxProblems))
	}
	return errors.Join(problems...)
}

// isRefusal reports whether an error says for certain that nothing was written.
func isRefusal(err error) bool {
	return errors.Is(err, fleet.ErrInvalid) || errors.Is(err, fleet.ErrNotFound) || errors.Is(err, fleet.ErrDenied)
}
