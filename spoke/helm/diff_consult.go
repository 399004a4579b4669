package helm

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/manifest"
	"flotilla.dev/flotilla/spoke/helm/job"
)

// consultation is a process that answers a question of a person. There is one at a time, beside those of passes, none of
// which waits for it; and none while memory is short.
type consultation struct {
	process Process
	names   names
	account string // that the plan names
	done    func()
}

func (e *Engine) consult(ctx context.Context, c Comparison) (*consultation, error) {
	plan, pieces, err := partsOf(c.Manifest, c.Blob)
	if err != nil {
		return nil, err
	}
	if err := e.Ready(ctx); err != nil {
		return nil, err
	}
	select {
	case e.consulting <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: another question about a release was being answered all the time; ask again", fleet.ErrUnavailable)
	}
	q, err := e.begin(ctx, c, plan, pieces)
	if err != nil {
		<-e.consulting
	}
	return q, err
}

// begin starts the process, in whose turn it is.
func (e *Engine) begin(ctx context.Context, c Comparison, plan flux.HelmPlan, pieces []fleet.Digest) (*consultation, error) {
	if err := e.makeRoom(ctx); err != nil {
		return nil, err
	}
	process, err := e.ask(ctx, c, plan, pieces)
	if err != nil {
		e.crowd.leave()
		return nil, err
	}
	e.metrics.processes.Inc()
	return &consultation{
		process: e.crowd.member(process), names: namesOf(c.App, plan.Spec), account: plan.Spec.ServiceAccountName, done: func() { <-e.consulting },
	}, nil
}

// makeRoom waits until there may be another process.
func (e *Engine) makeRoom(ctx context.Context) error {
	if err := room(e.config.System); err != nil {
		return err
	}
	if err := e.crowd.enter(ctx, func() bool { return true }); err != nil {
		return fmt.Errorf("%w: as many releases were worked on all the time as there is memory for; ask again", fleet.ErrUnavailable)
	}
	return nil
}

// ask starts the process of a question.
func (e *Engine) ask(ctx context.Context, c Comparison, plan flux.HelmPlan, pieces []fleet.Digest) (Process, error) {
	var archive bytes.Buffer
	for _, digest := range pieces {
		piece, err := c.Blob(digest)
		if err != nil {
			return nil, fmt.Errorf("read the chart: %w", err)
		}
		archive.Write(piece)
	}
	connection, err := e.connection(c.App, plan.Spec.ServiceAccountName)
	if err != nil {
		return nil, err
	}
	of := namesOf(c.App, plan.Spec)
	return e.config.Runner.Start(ctx, job.Job{
		App: c.App, Connection: connection, Plan: plan, Binding: c.Binding, Controls: c.Controls.Helm, Timeout: timeoutOf(c.Controls),
		Release: of.Release, Namespace: of.Namespace, Storage: of.Storage,
	}, archive.Bytes())
}

// do has something done that changes nothing.
func (q *consultation) do(ctx context.Context, r job.Request) (job.Answer, error) {
	answer, err := q.process.Do(ctx, r)
	switch {
	case ctx.Err() != nil:
		return answer, context.Cause(ctx)
	case err != nil:
		return answer, err
	case answer.Failure != nil:
		return answer, failureOf(answer.Failure)
	case r.Action == job.Prepare && answer.Prepared == nil:
		return answer, errors.New("Helm's process did not say what it has prepared")
	}
	return answer, nil
}

// values are those that a release would be made with, as they are and as they are shown.
func (q *consultation) values(ctx context.Context) (will, shown map[string]any, err error) {
	revealed, err := q.do(ctx, job.Request{Action: job.Values, Reveal: true})
	if err != nil {
		return nil, nil, err
	}
	masked, err := q.do(ctx, job.Request{Action: job.Values})
	if err != nil {
		return nil, nil, err
	}
	if will, err = decodeValues(revealed.Values); err != nil {
		return nil, nil, err
	}
	shown, err = decodeValues(masked.Values)
	return will, shown, err
}

func (q *consultation) close() {
	q.process.Close()
	q.done()
}

// partsOf are those of a Manifest: the plan, and by digest the pieces of the chart's archive.
func partsOf(m *manifest.Manifest, blob func(fleet.Digest) ([]byte, error)) (plan flux.HelmPlan, archive []fleet.Digest, err error) {
	if m == nil {
		return plan, nil, fmt.Errorf("%w: no manifest", fleet.ErrInvalid)
	}
	digest, archive := m.Chart()
	if digest.IsZero() || len(archive) == 0 {
		return plan, nil, fmt.Errorf("%w: the manifest is not a Helm release's", fleet.ErrInvalid)
	}
	encoded, err := blob(digest)
	if err != nil {
		return plan, nil, fmt.Errorf("read the plan: %w", err)
	}
	plan, err = flux.DecodeHelmPlan(encoded)
	return plan, archive, err
}
