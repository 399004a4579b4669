package spoke

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/manifest"
	"flotilla.dev/flotilla/pkg/telemetry"
	"flotilla.dev/flotilla/spoke/deploy"
	"flotilla.dev/flotilla/spoke/session"
	"flotilla.dev/flotilla/spoke/worker"
)

// assignments reads an accepted state for the workers.
func assignments(state session.State, log *slog.Logger) map[fleet.Key]worker.Assigned {
	result := make(map[fleet.Key]worker.Assigned, len(state.Items)+len(state.Kept))
	add := func(text string, epoch uint64, kept bool, encoded []byte) {
		key, err := fleet.ParseKey(text)
		if err != nil {
			log.Error("an Assignment without a key that makes sense is left out", telemetry.KeyErr, err)
			return
		}
		result[key] = decode(key, epoch, kept, encoded)
	}
	for text, kept := range state.Kept {
		add(text, kept.Epoch, true, kept.Assignment)
	}
	for text, encoded := range state.Items {
		add(text, state.ID.Epoch, false, encoded)
	}
	return result
}

// decode reads one Assignment. Of one that is not understood, what can be read is kept for the report.
func decode(key fleet.Key, epoch uint64, kept bool, encoded []byte) worker.Assigned {
	assignment, err := fleet.DecodeAssignment(encoded)
	switch {
	case err != nil:
		_ = json.Unmarshal(encoded, &assignment) // as far as it goes
		assignment.App = key
	case assignment.App != key:
		err = fmt.Errorf("%w: under this key stands an Assignment of %s", fleet.ErrInvalid, assignment.App.Words())
		assignment.App = key
	}
	return worker.Assigned{Assignment: assignment, Epoch: epoch, Kept: kept, Err: err}
}

// fetcher fetches through the session and verifies what comes.
func fetcher(client *session.Client) worker.Fetch {
	return func(ctx context.Context, a worker.Assigned, base *manifest.Manifest) (*manifest.Manifest, manifest.Blobs, error) {
		var has fleet.Digest
		if base != nil {
			has = base.Digest()
		}
		pack, err := client.Fetch(ctx, a.App, a.Epoch, a.Generation, has)
		if errors.Is(err, session.ErrSuperseded) {
			err = fmt.Errorf("%w: %w", worker.ErrSuperseded, err)
		}
		if err != nil {
			return nil, nil, &worker.Failure{Err: err, Transient: !errors.Is(err, fleet.ErrInvalid) && !errors.Is(err, fleet.ErrDenied)}
		}
		if pack.Base.IsZero() {
			base = nil // the hub sent everything
		}
		m, blobs, err := manifest.Unpack(pack.Content, base, a.Release.Manifest)
		if err != nil {
			// Bytes of this one transfer are no reason to give up.
			return nil, nil, &worker.Failure{Err: fmt.Errorf("fetch the manifest of %s: %s", a.App.Words(), err), Transient: true}
		}
		return m, blobs, nil
	}
}

// adapter is the engine as the workers know it.
type adapter struct{ *deploy.Engine }

func (a adapter) Ready(ctx context.Context) error {
	if err := a.Engine.Ready(ctx); err != nil {
		return &worker.Failure{Err: err, Transient: true}
	}
	return nil
}

func (a adapter) Deploy(ctx context.Context, t worker.Target) error {
	return explain(a.Engine.Deploy(ctx, deploy.Target{
		App: t.App, Release: t.Release, Manifest: t.Manifest, Binding: t.Binding, ApprovedPrune: t.ApprovedPrune, Verify: t.Verify,
	}))
}

func (a adapter) Remove(ctx context.Context, removal worker.Removal) (bool, error) {
	done, err := a.Engine.Remove(ctx, deploy.Removal(removal))
	return done, explain(err)
}

func (a adapter) Status(app fleet.Key) worker.Status {
	s := a.Engine.Status(app)
	return worker.Status{
		Objects: s.Objects, ObjectsNotReady: s.ObjectsNotReady, NotReady: s.NotReady, Healthy: s.Healthy, Failed: s.Failed,
		Checks: s.Checks, HeldPrune: s.HeldPrune, Applied: s.Applied, Bound: s.Bound, Wakes: s.Wakes, DriftCorrections: s.DriftCorrections, ManagedByFlux: s.ManagedByFlux,
	}
}

// explain says of an engine's error what it is in Flux's vocabulary, and whether it may pass by itself.
func explain(err error) error {
	if err == nil {
		return nil
	}
	failure := &worker.Failure{Err: err, Transient: isTransient(err)}
	switch {
	case errors.Is(err, deploy.ErrManagedByFlux):
		failure.Reason, failure.Transient = fleet.ReasonManagedByFlux, false
	case errors.Is(err, deploy.ErrExpression):
		failure.Reason = fleet.ReasonInvalidExpression
	case errors.Is(err, deploy.ErrResolve):
		failure.Reason = fleet.ReasonBuildFailed // in Flux it is a part of the build
	case errors.Is(err, deploy.ErrPrune):
		failure.Reason = fleet.ReasonPruneFailed
	}
	return failure
}

// isTransient reports whether the API server, or the way to it, or somebody who wrote at the same time, was in the way
// rather than what was asked.
func isTransient(err error) bool {
	var network net.Error
	return errors.As(err, &network) || errors.Is(err, fleet.ErrConflict) ||
		apierrors.IsTimeout(err) || apierrors.IsServerTimeout(err) || apierrors.IsTooManyRequests(err) ||
		apierrors.IsInternalError(err) || apierrors.IsServiceUnavailable(err)
}
