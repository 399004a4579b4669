package helm

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/spoke/account"
	"flotilla.dev/flotilla/spoke/helm/job"
	"flotilla.dev/flotilla/spoke/reference"
)

// pass is one run of Deploy. Who makes it has the App's token.
type pass struct {
	engine *Engine
	app    *app
	target Target
	plan   flux.HelmPlan
	// archive are the pieces of the chart's, by digest.
	archive []fleet.Digest
	names   names
	basis   fleet.Digest

	process  Process
	prepared job.Prepared
	// stored is what Helm has stored, the newest first.
	stored   []fleet.HelmSnapshot
	referred []reference.Reading
	// looked are the Secrets that Helm's storage had when it was last compared, at their resourceVersions.
	looked map[string]string
	force  bool
	done   []sort
	// held is what people are told of a failure, unless it is what the pass ends with: that they are told by its end.
	held fleet.Event
}

// run makes a pass that has something to look at.
func (p *pass) run(ctx context.Context) (err error) {
	p.app.mu.Lock()
	p.app.stale = false
	p.app.mu.Unlock()
	p.app.confirmed = false            // if this pass fails, the next one compares: nothing else tells it what this one has seen
	p.engine.storage.forget(p.app.key) // what the pass writes itself wakes nobody
	if p.referred, err = p.read(ctx); err != nil {
		return err
	}
	defer func() { p.engine.references.Set(p.app.key, p.referred) }()
	archive, err := p.whole()
	if err != nil {
		return err
	}
	if err := p.prepare(ctx, archive); err != nil {
		return err
	}
	defer p.close()
	if p.moves() { // now that the values and the chart of what comes are known to be good
		p.close()
		if err := p.move(ctx); err != nil {
			return err
		}
		if err := p.prepare(ctx, archive); err != nil {
			return err
		}
	}
	if err := p.observe(ctx); err != nil {
		return err
	}
	if err := p.rename(ctx); err != nil {
		return err
	}
	p.attempt()
	return p.loop(ctx)
}

// prepare starts the App's own process, and has it read the values and the chart.
func (p *pass) prepare(ctx context.Context, archive []byte) error {
	if err := p.start(ctx, p.names, p.job(), archive); err != nil {
		return err
	}
	answer, err := p.process.Do(ctx, job.Request{Action: job.Prepare})
	switch {
	case err != nil:
		err = p.ended(ctx, err)
	case answer.Failure != nil:
		err = failureOf(answer.Failure)
	case answer.Prepared == nil:
		err = errors.New("Helm's process did not say what it has prepared")
	default:
		p.prepared = *answer.Prepared
		return nil
	}
	p.close()
	return err
}

// whole is the chart's archive.
func (p *pass) whole() ([]byte, error) {
	var archive bytes.Buffer
	for _, digest := range p.archive {
		piece, err := p.engine.config.Blob(digest)
		if err != nil {
			return nil, fmt.Errorf("read the chart: %w", err)
		}
		archive.Write(piece)
	}
	return archive.Bytes(), nil
}

// job is what the App's own process is started for.
func (p *pass) job() job.Job {
	r := p.app.record()
	if p.moves() {
		r = record{} // it is of what is elsewhere
	}
	return job.Job{
		App: p.app.key, Plan: p.plan, Binding: p.target.Binding, Controls: p.target.Controls.Helm, Timeout: timeoutOf(p.target.Controls),
		OCIDigests: ociDigests(r.Status.History), Plain: r.Plain,
	}
}

// ociDigests are those of versions, by their numbers: Helm does not store them.
func ociDigests(history []fleet.HelmSnapshot) map[int]string {
	digests := map[int]string{}
	for _, s := range history {
		if s.OCIDigest != "" {
			digests[s.Version] = s.OCIDigest
		}
	}
	return digests
}

// start starts a process for a release.
func (p *pass) start(ctx context.Context, of names, j job.Job, archive []byte) (err error) {
	j.Release, j.Namespace, j.Storage = of.Release, of.Namespace, of.Storage
	if j.Connection, err = p.engine.connection(p.app.key, j.Plan.Spec.ServiceAccountName); err != nil {
		return &Failure{Err: err, Reason: "RESTClientError", Terminal: true}
	}
	process, err := p.engine.launch(ctx, j, archive, p.target.Waits)
	if err != nil {
		return err
	}
	p.process = process
	return nil
}

// close ends the pass's process, if it has one.
func (p *pass) close() {
	if p.process != nil {
		p.process.Close()
		p.process = nil
	}
}

// connection is how a process that acts for the App reaches the cluster: as that account of its namespace, or as the spoke.
func (e *Engine) connection(app fleet.Key, name string) (job.Connection, error) {
	if name = cmp.Or(name, e.config.DefaultServiceAccount); name == "" {
		return connection(e.config.REST, "")
	}
	if err := account.Check(name); err != nil {
		return job.Connection{}, fmt.Errorf("spec.serviceAccountName: %w", err)
	}
	return connection(e.config.REST, "system:serviceaccount:"+app.Namespace+":"+name)
}

// observe looks at what Helm has stored, and takes in what is ours of it.
func (p *pass) observe(ctx context.Context) error {
	answer, err := p.process.Do(ctx, job.Request{Action: job.Observe})
	if err != nil {
		return p.ended(ctx, err)
	}
	if answer.Failure != nil {
		failure := failureOf(answer.Failure)
		failure.Reason = cmp.Or(failure.Reason, "StateError")
		return failure
	}
	p.stored = answer.History
	var told fleet.Event
	p.app.update(func(r *record) { told = r.resolve(p.stored, p.plan.Spec, time.Now()) })
	p.engine.deployed(p.app)
	if told.Message != "" {
		p.engine.event(p.app, told)
	}
	return nil
}

// ended is why there is no answer of a process: the pass was cut short, or else it is the process's fault.
func (p *pass) ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return &Failure{Err: err, Terminal: errors.Is(err, fleet.ErrInvalid), Transient: !errors.Is(err, fleet.ErrInvalid)}
}

// attempt takes note of what is wanted. Failures of what was wanted before count no more.
func (p *pass) attempt() {
	c := p.target.Controls
	p.app.update(func(r *record) {
		s := &r.Status
		reset := requested(c.Helm.ResetAt, c.RequestedAt, s.LastHandledResetAt)
		s.LastHandledResetAt = cmp.Or(c.Helm.ResetAt, s.LastHandledResetAt)
		p.force = requested(c.Helm.ForceAt, c.RequestedAt, s.LastHandledForceAt)
		if reset || r.Attempted != p.basis || s.LastAttemptedRevision != p.prepared.ChartVersion || s.LastAttemptedConfigDigest != p.prepared.ConfigDigest {
			*s = forgiven(*s)
		}
		r.Attempted, r.Quiet = p.basis, nil
		r.Target = &target{
			names: p.names, ServiceAccount: p.plan.Spec.ServiceAccountName,
			Uninstall: p.plan.Spec.Uninstall, WaitStrategy: p.plan.Spec.WaitStrategy,
		}
		s.StorageNamespace = p.names.Storage
		s.LastAttemptedRevision, s.LastAttemptedRevisionDigest = p.prepared.ChartVersion, p.plan.Chart.OCIDigest
		s.LastAttemptedConfigDigest = p.prepared.ConfigDigest
	})
}

// loop takes step after step until the pass has come to its end.
func (p *pass) loop(ctx context.Context) error {
	for looks := 0; ; {
		n := next(p.view())
		p.engine.log.Debug("release", "app", p.app.key.String(), "state", string(n.state), "reason", n.why, "action", string(n.action))
		if n.action != "" {
			if err := p.act(ctx, n); err != nil {
				return err
			}
			p.done = append(p.done, sorts[n.action])
			continue
		}
		if n.end == settled || n.end == exhausted || n.end == aimless || n.end == waiting {
			same, err := p.quiet(ctx, n, looks)
			if err != nil {
				return err
			}
			if looks++; !same {
				if err := p.observe(ctx); err != nil {
					return err
				}
				continue
			}
		}
		return p.finish(ctx, n)
	}
}

func (p *pass) view() view {
	r := p.app.record()
	return view{
		spec: p.plan.Spec, status: r.Status, prepared: p.prepared, stored: p.stored,
		left: p.patience(time.Now()), patches: patchesOf(p.target.Binding), patched: r.Patched, asked: r.Wanted, interrupted: r.Interrupted, force: p.force, done: p.done,
	}
}
