package helm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
)

// maxLooks bounds how often a pass looks again because somebody writes to Helm's storage at the same time.
const maxLooks = 3

// quiet notes what the end of the pass depends on, and has it watched. It reports whether Helm's storage is as it was looked at last.
func (p *pass) quiet(ctx context.Context, n step, looks int) (same bool, err error) {
	secrets, at, err := p.engine.storage.list(ctx, p.place())
	if err != nil {
		return false, &Failure{Err: err, Transient: true}
	}
	statuses := map[string]string{}
	for _, s := range p.stored {
		statuses[strconv.Itoa(s.Version)] = s.Status
	}
	same = len(secrets) == len(p.stored)
	for _, secret := range secrets {
		same = same && statuses[secret.Labels["version"]] == secret.Labels[statusLabel]
	}
	versions := storedVersions(secrets)
	if !same && p.looked != nil && maps.Equal(versions, p.looked) { // nobody writes to it: Helm passes over what it cannot read
		p.engine.log.Warn("Helm cannot read all that is stored of a release", "app", p.app.key.String(), "place", p.names.Storage+"/"+p.names.Release)
		same = true
	}
	if p.looked = versions; !same {
		return looks >= maxLooks, nil // the next pass finds it
	}
	if n.end != waiting { // which ends by itself too
		p.app.update(func(r *record) {
			r.Quiet = &quiet{Basis: p.basis, Read: readVersions(p.referred), Stored: versions}
		})
	}
	p.expect(p.referred, secrets, at)
	return true, nil
}

// finish ends the pass.
func (p *pass) finish(ctx context.Context, n step) error {
	c := p.target.Controls
	p.app.update(func(r *record) {
		if n.state == inSync {
			r.Status = agreed(r.Status, p.plan.Spec)
			r.Applied, r.Bound = p.target.Release.Digest(), p.target.Binding.Digest()
		}
		if len(p.stored) == 0 {
			r.Applied, r.Bound = fleet.Digest{}, fleet.Digest{}
		}
		r.Status.LastHandledForceAt = cmp.Or(c.Helm.ForceAt, r.Status.LastHandledForceAt)
		r.Status = settledStatus(r.Status, n.end, p.plan.Spec)
	})
	r := p.app.record()
	err := standing(r.Status, p.plan.Spec)
	if err == nil && n.end == again {
		err = &Failure{Err: fmt.Errorf("the release is %s after all that was done in this pass: %s", n.state, n.why)}
	}
	if n.end == waiting {
		err = othersTurn(n.why, n.left)
	}
	if told := (*Failure)(nil); errors.As(err, &told) {
		switch n.end {
		case again:
			told.RetryAfter = againAfter(r.Status.Failures)
		case later:
			told.RetryAfter = retryInterval(r.Status, c.Helm)
		}
	}
	return errors.Join(err, p.engine.save(ctx, p.app))
}

// standing is why a release is not as it should be, as its status has it; nil: it is.
func standing(s fleet.HelmStatus, spec flux.HelmReleaseSpec) error {
	is := ready(s, spec)
	if is.Status == fleet.True {
		return nil
	}
	failure := failureAs(is)
	if s.Stalled.Status == fleet.True {
		failure.Terminal = true
		failure.Reason = cmp.Or(failure.Reason, s.Stalled.Reason)
		failure.Err = fmt.Errorf("%s (%s)", cmp.Or(is.Message, "The release is not there"), s.Stalled.Message)
	}
	return failure
}

// conclude tells people what no end of the pass tells them.
func (p *pass) conclude(err error) {
	if told := (*Failure)(nil); p.held.Message != "" && !(errors.As(err, &told) && told.Reason == p.held.Reason) {
		p.engine.event(p.app, p.held)
	}
	p.held = fleet.Event{}
}
