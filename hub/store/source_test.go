package store_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"flotilla.dev/flotilla/hub/store"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
)

var upstreamID = fleet.DigestOf([]byte("upstream"))

func (b *bundle) bind(upstream fleet.Digest) {
	b.t.Helper()
	o, err := b.Object(b.t.Context(), "GitRepository", "apps", "app")
	if err != nil {
		b.t.Fatal(err)
	}
	if err := b.BindSource(b.t.Context(), fleet.Meant{Kind: "GitRepository", Namespace: "apps", Name: "app", Generation: o.Metadata.Generation, Upstream: upstream, Remote: upstream}); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bundle) claim() []fleet.UpstreamState {
	b.t.Helper()
	claimed, err := b.ClaimUpstreams(b.t.Context(), 10, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return claimed
}

// found claims the one upstream that is due and saves what a look at it found.
func (b *bundle) found(revision, tree string) {
	b.t.Helper()
	claimed := b.claim()
	if len(claimed) != 1 {
		b.t.Fatalf("claimed %v, not one upstream", claimed)
	}
	if err := b.Blobs().PutWhole(b.t.Context(), []byte(tree), nil); err != nil {
		b.t.Fatal(err)
	}
	digest := fleet.DigestOf([]byte(tree))
	look := fleet.Looked{Revision: fleet.Revision(revision), Tree: digest, TreeBlob: digest}
	if err := b.SaveLook(b.t.Context(), claimed[0].ID, look, time.Hour); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bundle) source() fleet.SourceState {
	b.t.Helper()
	states, err := b.SourceStates(b.t.Context(), "GitRepository")
	if err != nil {
		b.t.Fatal(err)
	}
	return states["apps/app"]
}

func (b *bundle) suspendSource(yes bool) {
	b.t.Helper()
	var err error
	if yes {
		_, _, err = b.Suspend(b.t.Context(), admin, "GitRepository", "apps", "app", false)
	} else {
		_, _, err = b.Resume(b.t.Context(), admin, "GitRepository", "apps", "app", false)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

func TestSourceKeepsItsArtifactWhenItComesToMeanAnotherUpstream(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.apply(gitYAML)
	b.bind(upstreamID)
	b.found("main@sha1:1", "tree")
	other := fleet.DigestOf([]byte("other"))
	b.bind(other)
	claimed := b.claim()
	if len(claimed) != 1 || claimed[0].ID != other || claimed[0].Revision != "" {
		t.Fatalf("claimed %+v", claimed)
	}
	if err := b.SaveLook(t.Context(), other, fleet.Looked{Reason: "AuthenticationFailed", Message: "no"}, time.Hour); err != nil {
		t.Fatal(err)
	}
	if s := b.source(); s.Revision != "main@sha1:1" || s.Tree != fleet.DigestOf([]byte("tree")) || s.TreeBlob.IsZero() || s.Reason != "AuthenticationFailed" {
		t.Errorf("source %+v", s)
	}
	b.bind(upstreamID) // due again: it may have moved
	b.found("main@sha1:2", "younger")
	if s := b.source(); s.Revision != "main@sha1:2" || s.Reason != "" {
		t.Errorf("source %+v", s)
	}
}

// Several replicas see a Source that is new: who comes second finds it bound, maybe after it was looked at.
func TestASourceThatIsBoundAlreadyIsNotLookedAtAgain(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.apply(gitYAML)
	b.bind(upstreamID)
	b.found("main@sha1:1", "tree")
	b.bind(upstreamID)
	if claimed := b.claim(); len(claimed) != 0 {
		t.Errorf("claimed %+v, which was looked at since it was bound", claimed)
	}
}

func TestUpstreamOfSuspendedSourcesIsNotClaimedUntilOneIsResumed(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.apply(gitYAML)
	b.bind(upstreamID)
	b.suspendSource(true)
	b.bind(upstreamID)
	if claimed := b.claim(); len(claimed) != 0 {
		t.Errorf("claimed %+v of a suspended source", claimed)
	}
	b.suspendSource(false)
	b.bind(upstreamID)
	if claimed := b.claim(); len(claimed) != 1 {
		t.Errorf("claimed %+v of an active source", claimed)
	}
}

func TestLookThatEndsAfterTheSuspensionDoesNotMoveTheSource(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.apply(gitYAML)
	b.bind(upstreamID)
	b.found("main@sha1:1", "tree")
	if err := b.MakeDue(t.Context(), upstreamID); err != nil {
		t.Fatal(err)
	}
	claimed := b.claim()
	b.suspendSource(true)
	if err := b.SaveLook(t.Context(), claimed[0].ID, fleet.Looked{Revision: "main@sha1:2", Tree: claimed[0].Tree, TreeBlob: claimed[0].TreeBlob}, time.Hour); err != nil {
		t.Fatal(err)
	}
	if s := b.source(); s.Revision != "main@sha1:1" {
		t.Errorf("at %s", s.Revision)
	}
}

func TestSourceThatIsGoneIsNotBound(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.apply(gitYAML)
	if _, err := b.DeleteObject(t.Context(), admin, resource.Deletion{Kind: "GitRepository", Namespace: "apps", Name: "app"}); err != nil {
		t.Fatal(err)
	}
	if err := b.BindSource(t.Context(), fleet.Meant{Kind: "GitRepository", Namespace: "apps", Name: "app", Generation: 1, Upstream: upstreamID, Remote: upstreamID}); err != nil {
		t.Fatal(err)
	}
	if states, err := b.SourceStates(t.Context(), "GitRepository"); err != nil || len(states) != 0 {
		t.Errorf("bound %v, error %v", states, err)
	}
	if claimed := b.claim(); len(claimed) != 0 {
		t.Errorf("claimed %+v, which nobody means", claimed)
	}
}

func TestLookWhoseClaimWasLostChangesNothing(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.apply(gitYAML)
	b.bind(upstreamID)
	b.found("main@sha1:1", "tree")
	if err := b.SaveLook(t.Context(), upstreamID, fleet.Looked{Revision: "main@sha1:0"}, time.Hour); !errors.Is(err, fleet.ErrConflict) {
		t.Errorf("error %v, not ErrConflict", err)
	}
	if s := b.source(); s.Revision != "main@sha1:1" {
		t.Errorf("at %s", s.Revision)
	}
}

func TestPostponedUpstreamIsNotDueUntilItsPauseIsOver(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.apply(gitYAML)
	b.bind(upstreamID)
	if claimed := b.claim(); len(claimed) != 1 {
		t.Fatalf("claimed %+v", claimed)
	}
	if err := b.Postpone(t.Context(), upstreamID, time.Hour); err != nil {
		t.Fatal(err)
	}
	if claimed := b.claim(); len(claimed) != 0 || b.source().Claimed {
		t.Errorf("claimed %+v", claimed)
	}
	if err := b.MakeDue(t.Context(), upstreamID); err != nil {
		t.Fatal(err)
	}
	if claimed := b.claim(); len(claimed) != 1 {
		t.Errorf("claimed %+v", claimed)
	}
}

func TestForgottenTreeIsFetchedAgainAndItsSourceStays(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.apply(gitYAML)
	b.bind(upstreamID)
	b.found("main@sha1:1", "tree")
	if err := b.ForgetTree(t.Context(), fleet.DigestOf([]byte("tree"))); err != nil {
		t.Fatal(err)
	}
	if claimed := b.claim(); len(claimed) != 1 || !claimed[0].TreeBlob.IsZero() {
		t.Errorf("claimed %+v", claimed)
	}
	if s := b.source(); s.Revision != "main@sha1:1" || s.TreeBlob.IsZero() {
		t.Errorf("source %+v", s)
	}
}

// alive opens another replica on the bundle's database, and has both known to be alive.
func (b *bundle) alive() (other *store.Store) {
	b.t.Helper()
	other = openBundle(b.t, b.url).Store
	for _, s := range []*store.Store{b.Store, other} {
		wake, stop := s.Watch(store.TopicObjects)
		ctx, cancel := context.WithCancel(context.WithoutCancel(b.t.Context()))
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		b.t.Cleanup(func() {
			cancel()
			if err := <-done; err != nil {
				b.t.Error(err)
			}
		})
		<-wake // it listens, and holds its claims
		stop()
	}
	return other
}
