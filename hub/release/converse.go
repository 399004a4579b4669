package release

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
	"flotilla.dev/flotilla/pkg/run"
)

// conversation is one with a remote, about all upstreams of it that were claimed.
type conversation struct {
	*Loop
	looks []*look
	// jitter is the same for all of them, so that they are due together again.
	jitter float64
	// party is whose turn each fetch is.
	party string
}

// look is one at an upstream.
type look struct {
	upstream source.Upstream
	state    fleet.UpstreamState
	sources  []*declaredSource
	// inputs is what those are at.
	inputs fleet.Digest
	found  source.Found
	log    *slog.Logger
}

// converse resolves the claimed upstreams of a remote, and fetches those that moved. It reports whether that may have
// left something to do.
func (l *Loop) converse(ctx context.Context, v *view, party string, claimed []fleet.UpstreamState) (again bool) {
	c := conversation{Loop: l, party: party, jitter: float64(run.Jitter(time.Hour, 0.05)) / float64(time.Hour)}
	begun := time.Now()
	for _, state := range claimed {
		k := &look{state: state, sources: v.active[state.ID], log: l.Log.With("upstream", state.ID.String()[:19])}
		if len(k.sources) == 0 { // the view is older than the claim
			l.postponeLook(ctx, k, time.Second)
			continue
		}
		k.upstream = k.sources[0].meaning.upstream
		k.upstream.AsOf, k.upstream.Party, k.inputs = begun, party, inputsOf(k.upstream)
		for _, s := range k.sources { // a short timeout, maybe of another tenant, must not cut off the others
			k.upstream.Timeout = max(k.upstream.Timeout, s.meaning.upstream.Timeout)
		}
		c.looks = append(c.looks, k)
	}
	// Who has the most time asks for the list that does for all.
	slices.SortStableFunc(c.looks, func(a, b *look) int { return cmp.Compare(b.upstream.Timeout, a.upstream.Timeout) })
	moved, again := c.resolve(ctx)
	for _, k := range moved {
		again = c.fetch(ctx, k) || again
	}
	return again
}

// resolve asks the remote what the upstreams are at, stores that of those that stayed what they were, and returns the
// others. What fails for the whole remote is not tried for each of them.
func (c *conversation) resolve(ctx context.Context) (moved []*look, again bool) {
	var stayed []*look
	var err error
	for _, k := range c.looks {
		if err == nil || !isOfRemote(k.upstream, err) {
			k.found, err = c.Fetcher.Resolve(ctx, k.upstream)
		}
		switch {
		case ctx.Err() != nil:
			return nil, false // stopping: another look will be made
		case err != nil:
			again = c.save(ctx, k, fleet.Looked{}, err) || again
		case k.found.Revision == k.state.Revision && k.found.Inputs == k.state.Inputs && !k.state.TreeBlob.IsZero():
			stayed = append(stayed, k)
		default:
			moved = append(moved, k)
		}
	}
	lost, storedAgain := c.stay(ctx, stayed)
	return append(moved, lost...), again || storedAgain
}

// isOfRemote reports whether an upstream's failure to resolve is that of all upstreams of its remote. A registry judges
// each chart by itself, and object storage each prefix of a bucket: what one is refused, another may be given.
func isOfRemote(u source.Upstream, err error) bool {
	switch source.KindOf(err) {
	case source.KindConnect, source.KindTLS, source.KindAddress, source.KindBusy:
		return true
	case source.KindAuth, source.KindTimeout, source.KindRedirect:
		return u.Kind != resource.HelmChart.Name && u.Kind != resource.Bucket.Name
	case source.KindRepository, source.KindServer:
		return u.Kind == resource.GitRepository.Name
	}
	return false
}

// stay stores of upstreams that they are at what they were, and returns those whose Tree the store has lost.
func (c *conversation) stay(ctx context.Context, looks []*look) (lost []*look, again bool) {
	if len(looks) == 0 {
		return nil, false
	}
	blobs := make([]fleet.Digest, len(looks))
	for i, k := range looks {
		blobs[i] = k.state.TreeBlob
	}
	missing, err := c.Blobs.Missing(ctx, blobs)
	var checked []fleet.Checked
	for _, k := range looks {
		good := fleet.Looked{Revision: k.state.Revision, Tree: k.state.Tree, TreeBlob: k.state.TreeBlob, Detail: k.state.Detail, Inputs: k.state.Inputs}
		switch {
		case err != nil || k.state.Reason != "":
			again = c.save(ctx, k, good, err) || again
		case slices.Contains(missing, k.state.TreeBlob):
			lost = append(lost, k)
		default:
			checked = append(checked, fleet.Checked{ID: k.state.ID, SeenInputs: k.inputs, Next: c.next(k)})
			again = again || isAwaited(k)
		}
	}
	if len(checked) > 0 {
		if err := c.Store.SaveChecked(ctx, checked); err != nil && ctx.Err() == nil {
			c.Log.Error("looks not saved", "err", err)
		}
	}
	return lost, again
}

// isAwaited reports whether somebody asked for the look, or it may let Sources or Apps go on.
func isAwaited(k *look) bool {
	return slices.ContainsFunc(k.sources, func(s *declaredSource) bool {
		return s.requestedAt() != s.state.HandledReconcileAt || s.state.CheckedAt.Year() < 2000 || !s.state.StaleSince.IsZero() ||
			s.state.TreeBlob != k.state.TreeBlob
	})
}

// fetch brings what an upstream has as a Tree.
func (c *conversation) fetch(ctx context.Context, k *look) (again bool) {
	end, err := c.fetches.Take(ctx, c.party)
	if err != nil {
		return false // stopping
	}
	defer end()
	looked, err := c.bring(ctx, k)
	return c.save(ctx, k, looked, err)
}

func (c *conversation) bring(ctx context.Context, k *look) (looked fleet.Looked, err error) {
	fetched, err := c.Fetcher.Fetch(ctx, k.upstream, k.found)
	if err != nil {
		return looked, err
	}
	looked = fleet.Looked{Revision: k.found.Revision, Inputs: k.found.Inputs, Tree: fetched.Tree.Digest(), Detail: fetched.Detail}
	looked.TreeBlob, err = c.keepTree(ctx, fetched.Tree)
	return looked, err
}

// save stores the outcome of a look. It reports whether that may have left something to do.
func (c *conversation) save(ctx context.Context, k *look, looked fleet.Looked, err error) (again bool) {
	if ctx.Err() != nil {
		return false // stopping: another look will be made
	}
	next := c.next(k)
	switch {
	case errors.Is(err, fleet.ErrUnavailable):
		k.log.Warn("source not looked at by a failure of the hub", "err", err)
		c.postponeLook(ctx, k, retryAfter(k.state.Failures))
		return false
	case err != nil:
		looked = failedLook(k.upstream.Kind, err)
		if looked.Failure == string(source.KindStore) {
			k.log.Error("source not kept", "err", err)
		}
		next = max(min(next, retryAfter(k.state.Failures)), askedFor(err))
	}
	looked.SeenInputs = k.inputs
	if err := c.Store.SaveLook(ctx, k.state.ID, looked, next); err != nil {
		k.log.Error("look not saved", "err", err)
		return false
	}
	c.tell(ctx, k.sources, looked)
	return true
}

func (l *Loop) postponeLook(ctx context.Context, k *look, pause time.Duration) {
	if err := l.Store.Postpone(ctx, k.state.ID, pause); err != nil && ctx.Err() == nil {
		k.log.Error("claim not ended", "err", err)
	}
}

// next is the shortest interval among the Sources of an upstream.
func (c *conversation) next(k *look) time.Duration {
	next := k.sources[0].spec.interval
	for _, s := range k.sources[1:] {
		next = min(next, s.spec.interval)
	}
	return time.Duration(float64(next) * c.jitter)
}

// retryAfter is the back-off after a number of failures in a row: 1 s doubling to 15 minutes.
func retryAfter(failures int) time.Duration {
	return min(time.Second<<min(failures, 10), 15*time.Minute)
}

// askedFor is for how long upstream wants to be left alone.
func askedFor(err error) time.Duration {
	var failure *source.Error
	if errors.As(err, &failure) {
		return failure.RetryAfter
	}
	return 0
}

// inputsOf names what the inputs of an upstream are at; zero: it has none.
func inputsOf(u source.Upstream) fleet.Digest {
	if len(u.Inputs) == 0 {
		return fleet.Digest{}
	}
	var parts [][]byte
	for _, input := range u.Inputs {
		parts = append(parts, []byte(input.Field), []byte(input.Revision), input.Tree.Bytes())
	}
	return named(parts...)
}
