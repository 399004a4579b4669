package store_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/hub/store"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/resource"
	"flotilla.dev/flotilla/test/lab"
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

// What several Apps came to is recorded together, and what is no longer so of one of them is left out.
func TestReleasesOfSeveralAppsAreRecordedAsFarAsTheyAreCurrent(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.apply(gitYAML)
	b.bind(upstreamID)
	b.found("main@sha1:1", "one")
	if err := b.Blobs().PutWhole(t.Context(), []byte("manifest"), nil); err != nil {
		t.Fatal(err)
	}
	built := map[string]fleet.Built{}
	for _, name := range []string{"same", "new", "edited", "behind", "built", "gone"} {
		b.apply(strings.ReplaceAll(ksYAML, `"metadata":{"name":"app"`, `"metadata":{"name":"`+name+`"`))
		release := fleet.Release{App: fleet.Key{Home: fleet.HubHome, Kind: "Kustomization", Namespace: "apps", Name: name}, Manifest: fleet.DigestOf([]byte("manifest"))}
		if name != "new" {
			if _, err := b.Released(t.Context(), 1, "main@sha1:1", release); err != nil {
				t.Fatal(err)
			}
		}
		built[name] = fleet.Built{Generation: 1, Revision: "main@sha1:2", Release: release}
	}
	before, err := b.AppStates(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := b.MakeDue(t.Context(), upstreamID); err != nil {
		t.Fatal(err)
	}
	b.found("main@sha1:2", "two")
	if _, err := b.Released(t.Context(), 1, "main@sha1:2", built["built"].Release); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.Suspend(t.Context(), admin, "Kustomization", "apps", "edited", false); err != nil {
		t.Fatal(err)
	}
	if _, err := b.DeleteObject(t.Context(), admin, resource.Deletion{Kind: "Kustomization", Namespace: "apps", Name: "gone"}); err != nil {
		t.Fatal(err)
	}
	var all []fleet.Built
	for name, one := range built {
		if one.Seen = new(before[one.Release.App].Version); name == "behind" {
			one.Revision = "main@sha1:1"
		}
		all = append(all, one)
	}
	isNew, err := b.ReleasedAll(t.Context(), all)
	if want := map[fleet.Key]bool{built["same"].Release.App: false, built["new"].Release.App: true}; err != nil || !maps.Equal(isNew, want) {
		t.Errorf("recorded %v, error %v; want %v", isNew, err, want)
	}
	after, err := b.AppStates(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, one := range built {
		moved := after[one.Release.App].Revision == "main@sha1:2" && after[one.Release.App].Release == one.Release.Digest()
		if want := name == "same" || name == "new" || name == "built"; moved != want {
			t.Errorf("%s is at the new revision: %t", name, moved)
		}
	}
}

// A rollout looks at what it has something to do for: not at each App whose Source moved.
func TestAppAtANewRevisionIsRolledOnlyForAnotherRelease(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.placed()
	b.bind(upstreamID)
	b.found("main@sha1:1", "one")
	release := b.release("main@sha1:1", "manifest")
	var seen fleet.Horizon
	changed := func(what string, want bool) {
		t.Helper()
		apps, _, err := b.AppsChanged(t.Context(), seen)
		if err != nil || slices.Contains(apps, appKey) != want {
			t.Errorf("%s: to be rolled: %v, error %v", what, apps, err)
		}
		// What was told is told again while anything is under way in some database of the server.
		lab.Eventually(t, time.Minute, "horizon", func() error {
			apps, next, err := b.AppsChanged(t.Context(), seen)
			if seen = next; err == nil && len(apps) > 0 {
				err = fmt.Errorf("%v changed", apps)
			}
			return err
		})
	}
	changed("a first Release", true)
	if err := b.MakeDue(t.Context(), upstreamID); err != nil {
		t.Fatal(err)
	}
	b.found("main@sha1:2", "two")
	if _, err := b.Released(t.Context(), 1, "main@sha1:2", release); err != nil {
		t.Fatal(err)
	}
	changed("the same Release at another Revision", false)
	release.Wait = true
	if _, err := b.Released(t.Context(), 1, "main@sha1:2", release); err != nil {
		t.Fatal(err)
	}
	changed("another Release", true)
	failure := fleet.BuildFailure{Generation: 1, Revision: "main@sha1:2", Reason: fleet.ReasonBuildFailed, Message: "no"}
	if err := b.NotReleased(t.Context(), appKey, failure); err != nil {
		t.Fatal(err)
	}
	changed("a failure", true)
	request, err := b.RequestReconcile(t.Context(), admin, "Kustomization", "apps", "app", &flux.SourceRef{Kind: "GitRepository", Name: "app"}, fleet.LookOptions{})
	if err != nil {
		t.Fatal(err)
	}
	changed("a request", true)
	if err := b.SourceHandled(t.Context(), "GitRepository", "apps", "app", request.At); err != nil {
		t.Fatal(err)
	}
	changed("a request that waited for the Source", true)

	conn, err := pgx.Connect(t.Context(), b.url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	if _, err := conn.Exec(t.Context(), `UPDATE object SET spec = spec || '{"dependsOn": [{"name": "other"}]}', annotations = '{}' WHERE key = $1`, appKey.String()); err != nil {
		t.Fatal(err)
	}
	changed("a dependency", true)
	if _, err := b.Released(t.Context(), 1, "main@sha1:2", release); err != nil {
		t.Fatal(err)
	}
	changed("an end of the failure", true)
	if err := b.MakeDue(t.Context(), upstreamID); err != nil {
		t.Fatal(err)
	}
	b.found("main@sha1:3", "three")
	if _, err := b.Released(t.Context(), 1, "main@sha1:3", release); err != nil {
		t.Fatal(err)
	}
	changed("the same Release at another Revision, of an App that depends on another", true)
}

// A Source that goes back to what it had: what its builds looked at then is kept, the newest of it and not too much.
func TestWhatEarlierBuildsLookedAtIsKeptWithinBounds(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	manifest := fleet.DigestOf([]byte("manifest"))
	if err := b.Blobs().PutWhole(t.Context(), []byte("manifest"), nil); err != nil {
		t.Fatal(err)
	}
	app := fleet.Key{Home: fleet.HubHome, Kind: "Kustomization", Namespace: "apps", Name: "app"}
	one, two := fleet.DigestOf([]byte("one")), fleet.DigestOf([]byte("two"))
	save := func(recipe fleet.Digest, inputs string) {
		t.Helper()
		if err := b.SaveBuild(t.Context(), fleet.DigestOf([]byte(inputs)), manifest, fleet.BuildInputs{App: app, Recipe: recipe, Inputs: []byte(inputs)}); err != nil {
			t.Fatal(err)
		}
	}
	earlier := func(recipe fleet.Digest) (got []string) {
		t.Helper()
		found, err := b.EarlierInputs(t.Context(), app, recipe)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			got = append(got, string(f))
		}
		return got
	}
	for _, inputs := range []string{"a", "b", "b", "a", "c"} {
		save(one, inputs)
	}
	if got := earlier(one); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("earlier ones are %q, want a, which was built after b, and b", got)
	}
	save(two, "d")
	var want []string
	for i := range 20 {
		save(two, fmt.Sprint(i))
		if i < 19 && i >= 3 {
			want = append([]string{fmt.Sprint(i)}, want...)
		}
	}
	if got := earlier(two); !slices.Equal(got, want) {
		t.Errorf("earlier ones are %q, want the newest 16: %q", got, want)
	}
	if got := earlier(one); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("of the other recipe they are %q", got)
	}
	for i := range 9 {
		save(two, strings.Repeat(fmt.Sprint(i), 512<<10))
	}
	if got := earlier(two); len(got) != 4 || got[0][0] != '7' || got[3][0] != '4' {
		t.Errorf("%d of half a mebibyte each are kept", len(got))
	}
	if got := earlier(one); len(got) != 0 {
		t.Errorf("beside them older ones are: %q", got)
	}
	for i := range 4 {
		save(fleet.DigestOf([]byte(fmt.Sprint("more ", i))), "x")
	}
	if got := earlier(two); len(got) != 0 {
		t.Errorf("%d are kept of a recipe that is not", len(got))
	}
}

func TestWhatABuildLookedAtIsFoundByAppAndByRecipe(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	manifest := fleet.DigestOf([]byte("manifest"))
	if err := b.Blobs().PutWhole(t.Context(), []byte("manifest"), nil); err != nil {
		t.Fatal(err)
	}
	digest := func(text string) fleet.Digest { return fleet.DigestOf([]byte(text)) }
	app := func(name string) fleet.Key {
		return fleet.Key{Home: fleet.HubHome, Kind: "Kustomization", Namespace: "apps", Name: name}
	}
	save := func(name, recipe, inputs string) {
		t.Helper()
		kept := fleet.BuildInputs{App: app(name), Recipe: digest(recipe), Inputs: []byte(inputs)}
		if recipe == "" {
			kept = fleet.BuildInputs{}
		}
		if err := b.SaveBuild(t.Context(), digest(inputs), manifest, kept); err != nil {
			t.Fatal(err)
		}
	}
	save("a", "one", "a before")
	save("a", "one", "a now")
	for i := range 9 {
		save("moved", fmt.Sprint("recipe ", i), fmt.Sprint("moved ", i))
	}
	save("b", "", "too many")
	for i := range 9 {
		save(fmt.Sprint("twin", i), "one", fmt.Sprint("twin ", i))
	}
	found, err := b.BuildInputs(t.Context(), map[fleet.Key]fleet.Digest{app("a"): digest("one"), app("moved"): digest("none"), app("new"): digest("one")})
	var got []string
	for _, f := range found {
		if f.Recipe != digest("one") {
			t.Errorf("%s is of another recipe", f.Inputs)
		}
		got = append(got, f.App.Name+": "+string(f.Inputs))
	}
	slices.Sort(got)
	if want := []string{"a: a now", "twin6: twin 6", "twin7: twin 7", "twin8: twin 8"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("found %q, error %v; want %q", got, err, want)
	}
	var kept []int
	for i := range 9 {
		found, err := b.BuildInputs(t.Context(), map[fleet.Key]fleet.Digest{app("moved"): digest(fmt.Sprint("recipe ", i))})
		if err != nil {
			t.Fatal(err)
		}
		if len(found) > 0 {
			kept = append(kept, i)
		}
	}
	if want := []int{5, 6, 7, 8}; !slices.Equal(kept, want) {
		t.Errorf("of the recipes of an App %v are kept, want %v", kept, want)
	}
	known, err := b.BuiltManifests(t.Context(), []fleet.Digest{digest("a now"), digest("too many"), digest("nothing")})
	if want := map[fleet.Digest]fleet.Digest{digest("a now"): manifest, digest("too many"): manifest}; err != nil || !maps.Equal(known, want) {
		t.Errorf("known %v, error %v", known, err)
	}
}
