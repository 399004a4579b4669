package store_test

import (
	"errors"
	"testing"

	"flotilla.dev/flotilla/hub/store"
	"flotilla.dev/flotilla/pkg/fleet"
)

func (b *bundle) app() fleet.AppState {
	b.t.Helper()
	states, err := b.AppStates(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	return states[appKey]
}

// What a slow replica built is not recorded over what is newer.
func TestOutcomeOfABuildFromWhatIsNoLongerThereIsRefused(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change   func(b *bundle)
		revision fleet.Revision
	}{
		"the Source moved": {func(b *bundle) {
			if err := b.MakeDue(b.t.Context(), upstreamID); err != nil {
				b.t.Fatal(err)
			}
			b.found("main@sha1:2", "two")
		}, "main@sha1:1"},
		"the App was declared anew": {func(b *bundle) {
			if _, _, err := b.Suspend(b.t.Context(), admin, "Kustomization", "apps", "app", false); err != nil {
				b.t.Fatal(err)
			}
		}, "main@sha1:1"},
		"the Source is declared now": {func(*bundle) {}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBundle(t)
			b.apply(gitYAML)
			b.apply(ksYAML)
			b.bind(upstreamID)
			b.found("main@sha1:1", "one")
			b.release("main@sha1:1", "manifest")
			before := b.app()
			test.change(b)
			stale := fleet.Release{App: appKey, Manifest: fleet.DigestOf([]byte("manifest")), ReleaseSpec: fleet.ReleaseSpec{Wait: true}}
			if _, err := b.Released(t.Context(), 1, test.revision, stale); !errors.Is(err, fleet.ErrConflict) {
				t.Errorf("Released: %v, not ErrConflict", err)
			}
			failure := fleet.BuildFailure{Generation: 1, Revision: test.revision, Reason: fleet.ReasonBuildFailed, Message: "no"}
			if err := b.NotReleased(t.Context(), appKey, failure); !errors.Is(err, fleet.ErrConflict) {
				t.Errorf("NotReleased: %v, not ErrConflict", err)
			}
			if after := b.app(); after != before {
				t.Errorf("the App is %+v, was %+v", after, before)
			}
		})
	}
}

func TestBuildIsClaimedByOneReplica(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	other := b.alive()
	b.apply(gitYAML)
	b.apply(ksYAML)
	key := fleet.DigestOf([]byte("key"))
	claim := func(by *store.Store, seen uint64, want bool) {
		t.Helper()
		if claimed, err := by.ClaimBuild(t.Context(), key, appKey, seen); err != nil || claimed != want {
			t.Errorf("claimed %t, error %v; want %t", claimed, err, want)
		}
	}
	claim(b.Store, 0, true)
	claim(other, 0, false)
	claim(b.Store, 0, true) // one of its own is left over
	if err := b.EndBuild(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	claim(other, 0, true)
	b.release("main@sha1:1", "manifest")
	if err := other.EndBuild(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	claim(b.Store, 0, false) // built since it was looked at
	claim(b.Store, b.app().Version, true)
}

func TestBuildOfADeadReplicaIsClaimedByAnother(t *testing.T) {
	t.Parallel()
	b := newBundle(t) // nobody knows it to be alive
	other := openBundle(t, b.url)
	key := fleet.DigestOf([]byte("key"))
	for _, by := range []*store.Store{b.Store, other.Store} {
		if claimed, err := by.ClaimBuild(t.Context(), key, appKey, 0); err != nil || !claimed {
			t.Errorf("claimed %t, error %v", claimed, err)
		}
	}
}
