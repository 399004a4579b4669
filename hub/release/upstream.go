package release

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/run"
)

// Reasons of a Source that is not ready, as Flux has them.
const (
	reasonAuthentication = "AuthenticationFailed"
	reasonGit            = "GitOperationFailed"
	reasonStorage        = "StorageOperationFailed"
)

// notFetched is what the log says of a Source that its Secret or its upstream stands in the way of.
const notFetched = "source not fetched"

// bind records for each declared Source that changed which upstream it means. It reports whether anything was bound.
func (l *Loop) bind(ctx context.Context, v *view) (changed bool, err error) {
	var errs []error
	for _, s := range v.sources {
		bound, err := l.bindSource(ctx, v, s)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s.object, err))
		}
		changed = changed || bound
	}
	return changed, errors.Join(errs...)
}

func (l *Loop) bindSource(ctx context.Context, v *view, s declaredSource) (changed bool, err error) {
	upstream, err := l.upstreamOf(ctx, v, s)
	id, reason, message := fleet.Digest{}, "", ""
	switch {
	case err == nil:
		id = l.identify(upstream)
	case errors.Is(err, fleet.ErrNotFound) || errors.Is(err, fleet.ErrInvalid):
		reason, message = reasonAuthentication, err.Error()
	default:
		return false, err
	}
	same := s.bound && s.state.Upstream == id && s.state.ObservedGeneration == s.object.Metadata.Generation
	if same && (reason == "" || s.state.Message == message) {
		return false, nil
	}
	m := s.object.Metadata
	if err := l.Store.BindSource(ctx, s.object.Kind, m.Namespace, m.Name, m.Generation, id, reason, message); err != nil {
		return false, err
	}
	if reason != "" {
		l.Log.Warn(notFetched, "source", s.name(), "reason", reason, "err", message)
	}
	return true, nil
}

// upstreamOf is the upstream that a declared Source means. A Secret that is missing, or lacks what is needed, is
// fleet.ErrNotFound or fleet.ErrInvalid.
func (l *Loop) upstreamOf(ctx context.Context, v *view, s declaredSource) (source.Upstream, error) {
	upstream := source.Upstream{URL: s.spec.URL, Timeout: s.spec.GetTimeout()}
	if s.spec.Ref != nil {
		upstream.Ref = source.Ref{Branch: s.spec.Ref.Branch, Tag: s.spec.Ref.Tag, Commit: s.spec.Ref.Commit}
	}
	if s.spec.SecretRef != nil {
		credential, err := l.credential(ctx, v, s.object.Metadata.Namespace, s.spec.SecretRef.Name)
		if err != nil {
			return upstream, err
		}
		upstream.Credential = credential
	}
	upstream.ID = l.identify(upstream).String()
	return upstream, nil
}

// identify is the identity of an upstream: equal for equal specs and credentials, whatever the timeout.
func (l *Loop) identify(u source.Upstream) fleet.Digest {
	u.ID, u.Timeout = "", 0
	encoded, err := json.Marshal(u)
	if err != nil {
		panic(fmt.Sprintf("encode an upstream: %v", err)) // strings, bytes and numbers always encode
	}
	return l.Name(encoded)
}

// lookAt resolves a claimed upstream and fetches it when it moved. It reports whether that may have left something to
// do.
func (l *Loop) lookAt(ctx context.Context, v *view, u fleet.UpstreamState) bool {
	log := l.Log.With("upstream", u.ID.String()[:19])
	sources := v.active[u.ID]
	if len(sources) == 0 { // the view is older than the claim
		l.postponeLook(ctx, log, u, time.Second)
		return false
	}
	look, err := l.resolve(ctx, v, mostPatient(sources), u)
	if ctx.Err() != nil {
		return false // stopping: another look will be made
	}
	next := nextLook(sources)
	switch {
	case errors.Is(err, fleet.ErrUnavailable):
		log.Warn("source not looked at by a failure of the hub", "err", err)
		l.postponeLook(ctx, log, u, retryAfter(u.Failures))
		return false
	case err != nil:
		look = failedLook(err)
		if look.Reason == reasonStorage {
			log.Error("source not kept", "err", err)
		}
		next = min(next, retryAfter(u.Failures))
	}
	l.tell(ctx, sources, look)
	if err := l.Store.SaveLook(ctx, u.ID, look, next); err != nil {
		log.Error("look not saved", "err", err)
		return false
	}
	return true
}

func (l *Loop) postponeLook(ctx context.Context, log *slog.Logger, u fleet.UpstreamState, pause time.Duration) {
	if err := l.Store.Postpone(ctx, u.ID, pause); err != nil && ctx.Err() == nil {
		log.Error("claim not ended", "err", err)
	}
}

// failedLook says what went wrong, without a word of the hub's own database and disk.
func failedLook(err error) fleet.Looked {
	switch {
	case errors.Is(err, fleet.ErrDenied):
		return fleet.Looked{Reason: reasonAuthentication, Message: err.Error()}
	case source.KindOf(err) == source.KindStore && !errors.Is(err, fleet.ErrNotFound):
		return fleet.Looked{Reason: reasonStorage, Message: "the hub could not keep what it fetched; it is tried again, and the hub's log says more"}
	}
	return fleet.Looked{Reason: reasonGit, Message: err.Error(), Terminal: source.KindOf(err) == source.KindInvalid}
}

// resolve asks upstream what it is at, and brings a new Revision as a Tree. What is there already is not fetched.
func (l *Loop) resolve(ctx context.Context, v *view, s declaredSource, u fleet.UpstreamState) (look fleet.Looked, err error) {
	upstream, err := l.upstreamOf(ctx, v, s)
	if err != nil {
		return look, err
	}
	revision, err := l.Fetcher.Resolve(ctx, upstream)
	if err != nil {
		return look, err
	}
	if revision == u.Revision && !u.TreeBlob.IsZero() {
		missing, err := l.Blobs.Missing(ctx, []fleet.Digest{u.TreeBlob})
		if err != nil {
			return look, err
		}
		if len(missing) == 0 {
			return fleet.Looked{Revision: revision, Tree: u.Tree, TreeBlob: u.TreeBlob}, nil
		}
	}
	tree, err := l.Fetcher.Fetch(ctx, upstream, revision)
	if err != nil {
		return look, err
	}
	encoded := tree.Encode()
	if err := l.Blobs.PutWhole(ctx, encoded, parts(tree)); err != nil {
		return look, err
	}
	return fleet.Looked{Revision: revision, Tree: tree.Digest(), TreeBlob: fleet.DigestOf(encoded)}, nil
}

func parts(tree *artifact.Tree) []fleet.Digest {
	digests := make([]fleet.Digest, len(tree.Files))
	for i, file := range tree.Files {
		digests[i] = file.Digest
	}
	return digests
}

// tell logs and records what changed for the Sources.
func (l *Loop) tell(ctx context.Context, sources []declaredSource, look fleet.Looked) {
	for _, s := range sources {
		if look.Reason == s.state.Reason && look.Message == s.state.Message && (look.Reason != "" || look.Revision == s.state.Revision) {
			continue
		}
		m := s.object.Metadata
		event := fleet.FleetEvent{Kind: s.object.Kind, Namespace: m.Namespace, Name: m.Name, Reason: look.Reason, Message: look.Message, Warning: true}
		if look.Reason == "" {
			event.Reason, event.Message, event.Warning = "NewArtifact", "fetched revision "+string(look.Revision), false
			l.Log.Info("source fetched", "source", s.name(), "revision", look.Revision)
		} else {
			l.Log.Warn(notFetched, "source", s.name(), "reason", look.Reason, "err", look.Message)
		}
		if err := l.Store.AddEvent(ctx, event); err != nil {
			l.Log.Error("event not stored", "source", s.name(), "err", err)
		}
	}
}

// mostPatient is the Source with the longest timeout: a short one, maybe of another tenant, must not cut off the others.
func mostPatient(sources []declaredSource) declaredSource {
	return slices.MaxFunc(sources, func(a, b declaredSource) int {
		return cmp.Compare(a.spec.GetTimeout(), b.spec.GetTimeout())
	})
}

// nextLook is the shortest interval among the Sources, jittered by 5 %.
func nextLook(sources []declaredSource) time.Duration {
	next := sources[0].spec.Interval.Duration
	for _, s := range sources[1:] {
		next = min(next, s.spec.Interval.Duration)
	}
	return run.Jitter(next, 0.05)
}

// retryAfter is the back-off after a number of failures in a row: 1 s doubling to 15 minutes.
func retryAfter(failures int) time.Duration {
	return min(time.Second<<min(failures, 10), 15*time.Minute)
}
