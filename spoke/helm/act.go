package helm

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/helm/job"
)

// act carries out an action. What it is about to do is in the record before, what came of it after: wherever the spoke ends,
// the next one knows what is ours. An error ends the pass.
func (p *pass) act(ctx context.Context, n step) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	p.conclude(nil) // it is not what the pass ends with
	before := newest(p.stored)
	i := p.intend(n, before)
	plain := p.app.record().Plain
	p.app.update(func(r *record) {
		r.Status = begun(r.Status, n)
		r.Intent, r.Quiet = i, nil
		if n.action == job.Rollback || sorts[n.action] == releasing {
			r.Plain = false // what its templates look up is known when it is answered
		}
		if n.action != job.Unlock {
			r.Interrupted = ""
			r.Status.LastHandledForceAt = cmp.Or(p.target.Controls.Helm.ForceAt, r.Status.LastHandledForceAt)
			p.force = false
		}
	})
	if err := p.engine.save(ctx, p.app); err != nil {
		return &Failure{Err: err, Transient: true}
	}
	if err := p.app.still(ctx); err != nil {
		return err // the intent stays: it is no failure
	}
	if p.target.Within != nil {
		ctx = p.target.Within // what Helm has begun comes to its end
	}
	p.engine.does(p.app, fmt.Sprintf("Running '%s' action with timeout of %s", n.action, p.timeout(n.action)))
	answer, err := p.process.Do(ctx, job.Request{Action: n.action, Version: n.version, Replace: n.replace})
	p.engine.does(p.app, "")
	switch {
	case ctx.Err() != nil && (err != nil || answer.Failure != nil || answer.Unobserved != nil):
		p.engine.metrics.count(n.action, "cut short")
		return context.Cause(ctx) // the intent stays: it is no failure
	case err != nil:
		return p.crashed(ctx, n, err)
	}
	if answer.Unobserved != nil {
		again, err := p.process.Do(ctx, job.Request{Action: job.Observe})
		switch {
		case err == nil && again.Failure == nil:
			answer.History = again.History
		case ctx.Err() != nil:
			p.engine.metrics.count(n.action, "cut short")
			return context.Cause(ctx)
		default: // what it came to is for the next pass to find
			return p.crashed(ctx, n, errors.New(answer.Unobserved.Message))
		}
	}
	return p.take(ctx, n, i, answer, plain)
}

// plain reports whether no value of a Secret went into the version that an action made, by what the one before has.
func (p *pass) plain(n step, answer job.Answer, before bool) bool {
	u := p.plan.Spec.Upgrade
	kept := n.action == job.Upgrade && u != nil && u.PreserveValues
	return sorts[n.action] == releasing && !p.prepared.Secret && !answer.LookedUp && (before || !kept)
}

// about is the version that a step is about: what is rolled back to or unlocked, else the newest.
func (p *pass) about(n step) fleet.HelmSnapshot {
	at := slices.IndexFunc(p.stored, func(s fleet.HelmSnapshot) bool { return s.Version == n.version })
	if at < 0 {
		at = 0
	}
	if len(p.stored) == 0 {
		return fleet.HelmSnapshot{Name: p.names.Release, Namespace: p.names.Namespace}
	}
	return p.stored[at]
}

// take takes note of what came of an action; plain says that the version before it has no value of a Secret.
func (p *pass) take(ctx context.Context, n step, i *intent, answer job.Answer, plain bool) error {
	o := outcome{
		step: n, answer: answer, before: i.From, was: p.stored, about: p.about(n), spec: p.plan.Spec, wanted: p.prepared, names: p.names, now: time.Now(),
	}
	p.stored = answer.History
	var told fleet.Event
	p.app.update(func(r *record) {
		r.Status, told = ended(r.Status, o)
		r.Intent, r.Crashes = nil, 0
		if n.action == job.Rollback || sorts[n.action] == releasing {
			r.Plain = p.plain(n, answer, plain) && (plain || answer.Failure == nil) // the newest version may still be the one before
		}
		if answer.Failure == nil {
			r.done(i)
		}
	})
	p.engine.deployed(p.app)
	r := p.app.record()
	saved := p.engine.save(ctx, p.app)
	log := p.engine.log.With("app", p.app.key.String(), "action", string(n.action), "state", string(n.state), "reason", n.why)
	if answer.Failure == nil {
		log.Info("Helm's action succeeded")
		p.engine.metrics.count(n.action, "succeeded")
		p.engine.event(p.app, told)
	} else {
		log.Warn("Helm's action failed", "err", told.Message)
		p.engine.metrics.count(n.action, "failed")
		p.held = told
	}
	if saved != nil {
		return &Failure{Err: saved, Transient: true}
	}
	if failure := answer.Failure; failure != nil && !goesOn(n, failure, r.Status) {
		f := &Failure{Err: errors.New(told.Message), Reason: told.Reason, Transient: failure.Transient, Terminal: failure.Invalid}
		if sorts[n.action] == releasing && retriesOf(n.action, p.plan.Spec) {
			f.RetryAfter = retryInterval(r.Status, p.target.Controls.Helm)
		}
		return f
	}
	return nil
}

// goesOn reports whether there is something to go on from after a failure: what left nothing in Helm's storage is tried again
// in another pass, as it was.
func goesOn(n step, failure *job.Failure, s fleet.HelmStatus) bool {
	switch n.action {
	case job.Unlock:
		return false
	case job.Test:
		return hasTests(s)
	}
	return failure.Began && !n.retire
}

// crashed takes note of a process that ended in an action. What it has done the next pass finds.
func (p *pass) crashed(ctx context.Context, n step, err error) error {
	failure := job.Failure{Message: err.Error()}
	o := outcome{step: n, answer: job.Answer{Failure: &failure}, about: p.about(n), spec: p.plan.Spec, wanted: p.prepared, names: p.names}
	var told fleet.Event
	p.app.update(func(r *record) {
		history := r.Status.History
		r.Status, told = ended(r.Status, o)
		r.Status.History = history
		r.Crashes++
		if r.Intent != nil {
			r.Intent.Crashed = errors.Is(err, fleet.ErrInvalid)
		}
	})
	p.held = told
	p.engine.metrics.count(n.action, "crashed")
	p.engine.log.Warn("Helm's process ended", "app", p.app.key.String(), "action", string(n.action), "err", err)
	r, c := p.app.record(), p.target.Controls
	longest := cmp.Or(c.RetryInterval, c.Interval, 10*time.Minute)
	return errors.Join(&Failure{
		Err: errors.New(told.Message), Reason: told.Reason, RetryAfter: min(time.Second<<min(r.Crashes-1, 10), longest),
	}, p.engine.save(ctx, p.app))
}

// timeout is that of an action.
func (p *pass) timeout(of job.Action) time.Duration {
	h := p.target.Controls.Helm
	return cmp.Or(map[job.Action]time.Duration{
		job.Install: h.Install, job.Upgrade: h.Upgrade, job.Test: h.Test, job.Rollback: h.Rollback, job.Uninstall: h.Uninstall,
	}[of], timeoutOf(p.target.Controls))
}

// patchesOf names a Placement's patches; zero: there are none.
func patchesOf(b fleet.Binding) fleet.Digest {
	if len(b.Patches) == 0 {
		return fleet.Digest{}
	}
	data, err := json.Marshal(b.Patches)
	if err != nil {
		panic(fmt.Sprintf("encode patches: %v", err)) // strings always encode
	}
	return fleet.DigestOf(data)
}
