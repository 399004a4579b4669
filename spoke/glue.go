package spoke

import (
	"bytes"
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
	"flotilla.dev/flotilla/spoke/session"
	"flotilla.dev/flotilla/spoke/worker"
)

// reader reads accepted states for the workers, one after the other. What is as it was in the state before is not read again, and
// is known by its address.
type reader struct {
	log  *slog.Logger
	last map[string]*read
}

// read is what an Assignment came to.
type read struct {
	worker.Assigned
	encoded []byte
}

func (r *reader) assignments(state session.State) map[fleet.Key]*worker.Assigned {
	result := make(map[fleet.Key]*worker.Assigned, len(state.Items)+len(state.Kept))
	now := make(map[string]*read, len(state.Items)+len(state.Kept))
	add := func(text string, epoch uint64, kept bool, encoded []byte) {
		one := r.last[text]
		if one == nil || one.Epoch != epoch || one.Kept != kept || !bytes.Equal(one.encoded, encoded) {
			key, err := fleet.ParseKey(text)
			if err != nil {
				r.log.Error("an Assignment without a key that makes sense is left out", telemetry.KeyErr, err)
				return
			}
			one = &read{decode(key, epoch, kept, encoded), encoded}
		}
		now[text], result[one.App] = one, &one.Assigned
	}
	for text, kept := range state.Kept {
		add(text, kept.Epoch, true, kept.Assignment)
	}
	for text, encoded := range state.Items {
		add(text, state.ID.Epoch, false, encoded)
	}
	r.last = now
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

// isTransient reports whether the API server, or the way to it, or somebody who wrote at the same time, was in the way
// rather than what was asked.
func isTransient(err error) bool {
	var network net.Error
	return errors.As(err, &network) || errors.Is(err, fleet.ErrConflict) ||
		apierrors.IsTimeout(err) || apierrors.IsServerTimeout(err) || apierrors.IsTooManyRequests(err) ||
		apierrors.IsInternalError(err) || apierrors.IsServiceUnavailable(err)
}
