package release

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/fleet"
)

// Reasons of a Source that is not ready, as Flux has them.
const (
	reasonAuthentication = "AuthenticationFailed"
	reasonGit            = "GitOperationFailed"
)

// bind records for each declared Source that changed which upstream it is, and makes due those whose reconciliation
// was requested. It reports whether anything was bound.
func (l *Loop) bind(ctx context.Context, v *view) (changed bool, err error) {
	for _, s := range v.sources {
		upstream, err := l.upstreamOf(ctx, v, s)
		reason, message := "", ""
		if err != nil {
			if !errors.Is(err, fleet.ErrNotFound) && !errors.Is(err, fleet.ErrInvalid) {
				return changed, err
			}
			reason, message = reasonAuthentication, err.Error()
		}
		id := fleet.Digest{}
		if reason == "" {
			id = l.identify(upstream)
		}
		same := s.bound && s.state.Upstream == id && s.state.ObservedGeneration == s.object.Metadata.Generation
		if same && (reason == "" || s.state.Message == message) {
			continue
		}
		m := s.object.Metadata
		if err := l.Store.BindSource(ctx, s.object.Kind, m.Namespace, m.Name, m.Generation, id, reason, message); err != nil {
			return changed, err
		}
		changed = true
	}
	return changed, nil
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

// credential reads a Secret, when it changed since it was last read.
func (l *Loop) credential(ctx context.Context, v *view, namespace, name string) (*source.Credential, error) {
	version := v.secrets[namespace+"/"+name]
	l.mu.Lock()
	known, found := l.credentials[namespace+"/"+name]
	l.mu.Unlock()
	if found && known.version == version {
		return known.credential, nil
	}
	data, err := l.Store.SecretData(ctx, namespace, name)
	if err != nil {
		return nil, fmt.Errorf("spec.secretRef: Secret/%s/%s is not given to the hub: %w", namespace, name, err)
	}
	credential := &source.Credential{Username: string(data["username"]), Password: string(data["password"]), CAFile: data["ca.crt"]}
	if credential.Password == "" && len(credential.CAFile) == 0 {
		return nil, fmt.Errorf("spec.secretRef: Secret/%s/%s: %w: it has no key password (nor ca.crt)", namespace, name, fleet.ErrInvalid)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.credentials[namespace+"/"+name] = readCredential{version: version, credential: credential}
	return credential, nil
}

// readCredential is a credential and the version of the Secret that it was read from.
type readCredential struct {
	version    string
	credential *source.Credential
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

// lookAt resolves an upstream and fetches it when it moved.
func (l *Loop) lookAt(ctx context.Context, v *view, id fleet.Digest) {
	sources := v.bySource[id]
	log := l.Log.With("upstream", id.String()[:19])
	if len(sources) == 0 {
		return // unbound since it was claimed: the claim lapses
	}
	look, err := l.resolve(ctx, v, sources[0])
	if ctx.Err() != nil {
		return // stopping: another look will be made
	}
	active := make([]declaredSource, 0, len(sources))
	for _, s := range sources {
		if !s.spec.Suspend {
			active = append(active, s)
		}
	}
	next := nextLook(active)
	if err != nil {
		look = fleet.Looked{Reason: reasonGit, Message: err.Error(), Terminal: source.KindOf(err) == source.KindInvalid}
		if errors.Is(err, fleet.ErrDenied) {
			look.Reason = reasonAuthentication
		}
		failures, countErr := l.Store.UpstreamFailures(ctx, id)
		if countErr != nil {
			log.Error("failures not read", "err", countErr)
		}
		next = min(next, retryAfter(failures))
	}
	l.tell(ctx, sources, look)
	if err := l.Store.SaveLook(ctx, id, look, next); err != nil {
		log.Error("look not saved", "err", err)
	}
}

// resolve asks upstream what it is at, and brings a new Revision as a Tree. What is there already is not fetched.
func (l *Loop) resolve(ctx context.Context, v *view, s declaredSource) (look fleet.Looked, err error) {
	upstream, err := l.upstreamOf(ctx, v, s)
	if err != nil {
		return look, err
	}
	ctx, cancel := context.WithTimeout(ctx, upstream.Timeout)
	defer cancel()
	revision, err := l.Fetcher.Resolve(ctx, upstream)
	if err != nil {
		return look, err
	}
	if revision == s.state.Revision && !s.state.TreeBlob.IsZero() {
		missing, err := l.Blobs.Missing(ctx, []fleet.Digest{s.state.TreeBlob})
		if err == nil && len(missing) == 0 {
			return fleet.Looked{Revision: revision, Tree: s.state.Tree, TreeBlob: s.state.TreeBlob}, nil
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
			l.Log.Warn("source not fetched", "source", s.name(), "reason", look.Reason, "err", look.Message)
		}
		if err := l.Store.AddEvent(ctx, event); err != nil {
			l.Log.Error("event not stored", "source", s.name(), "err", err)
		}
	}
}

// idle is how long an upstream is left alone of which every Source is suspended.
const idle = 24 * time.Hour

// nextLook is the shortest interval among the Sources, jittered by 5 %.
func nextLook(sources []declaredSource) time.Duration {
	next := idle
	for _, s := range sources {
		next = min(next, s.spec.Interval.Duration)
	}
	return time.Duration(float64(next) * (0.95 + 0.1*rand.Float64()))
}

// retryAfter is the back-off after a number of failures in a row: 1 s doubling to 15 minutes.
func retryAfter(failures int) time.Duration {
	return min(time.Second<<min(failures, 10), 15*time.Minute)
}
