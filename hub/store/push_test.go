package store_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
)

const externalYAML = `{"apiVersion":"source.toolkit.fluxcd.io/v1","kind":"ExternalArtifact","metadata":{"name":"pushed","namespace":"apps"},"spec":{}}`

// push pushes a Tree whose encoding is the text.
func (b *bundle) push(revision, tree string, metadata map[string]string) resource.Change {
	b.t.Helper()
	if err := b.Blobs().PutWhole(b.t.Context(), []byte(tree), nil); err != nil {
		b.t.Fatal(err)
	}
	_, change, err := b.PushArtifact(b.t.Context(), admin, object(b.t, externalYAML), pushed(revision, tree, metadata), false)
	if err != nil {
		b.t.Fatal(err)
	}
	return change
}

func pushed(revision, tree string, metadata map[string]string) fleet.Pushed {
	digest := fleet.DigestOf([]byte(tree))
	return fleet.Pushed{Revision: fleet.Revision(revision), Tree: digest, TreeBlob: digest, Files: 3, Detail: fleet.ArtifactDetail{Size: 7, Metadata: metadata}}
}

func (b *bundle) pushedState() fleet.SourceState {
	b.t.Helper()
	states, err := b.SourceStates(b.t.Context(), "ExternalArtifact")
	if err != nil {
		b.t.Fatal(err)
	}
	return states["apps/pushed"]
}

func TestPushDeclaresTheArtifactAndMovesIt(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	if change := b.push("main@sha1:1", "one", nil); change != resource.Created {
		t.Errorf("the first push: %s", change)
	}
	if change := b.push("main@sha1:2", "two", nil); change != resource.Configured {
		t.Errorf("another revision: %s", change)
	}
	state := b.pushedState()
	if state.Revision != "main@sha1:2" || state.Tree != fleet.DigestOf([]byte("two")) || state.TreeBlob != state.Tree || state.FetchedAt.Year() < 2000 || state.CheckedAt.Year() < 2000 {
		t.Errorf("state %+v", state)
	}
	events, _, err := b.Events(t.Context(), fleet.EventQuery{Kind: "ExternalArtifact", Limit: 10})
	if err != nil || len(events) != 2 || events[1].Reason != "NewArtifact" || !strings.Contains(events[1].Message, "main@sha1:2") {
		t.Errorf("events %+v, error %v", events, err)
	}
}

func TestPushOfTheSameAgainChangesNothingWheneverItWasMade(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.push("main@sha1:1", "one", map[string]string{fleet.SourceAnnotation: "x", fleet.CreatedAnnotation: "1"})
	before := b.pushedState()
	if change := b.push("main@sha1:1", "one", map[string]string{fleet.SourceAnnotation: "x", fleet.CreatedAnnotation: "2"}); change != resource.Unchanged {
		t.Errorf("the same again: %s", change)
	}
	after := b.pushedState()
	if !after.CheckedAt.After(before.CheckedAt) {
		t.Errorf("the push again is not noted: %s, %s", before.CheckedAt, after.CheckedAt)
	}
	after.CheckedAt, after.Version = before.CheckedAt, before.Version
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("the same again changed (-before +after):\n%s", diff)
	}
	if events, _, err := b.Events(t.Context(), fleet.EventQuery{Kind: "ExternalArtifact", Limit: 10}); err != nil || len(events) != 1 {
		t.Errorf("events %+v, error %v", events, err)
	}
	for what, change := range map[string]resource.Change{
		"other source":   b.push("main@sha1:1", "one", map[string]string{fleet.SourceAnnotation: "y"}),
		"other files":    b.push("main@sha1:1", "two", map[string]string{fleet.SourceAnnotation: "y"}),
		"other revision": b.push("main@sha1:2", "two", map[string]string{fleet.SourceAnnotation: "y"}),
	} {
		if change != resource.Configured {
			t.Errorf("%s: %s", what, change)
		}
	}
}

func TestPushNeedsItsTreeStored(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	if _, _, err := b.PushArtifact(t.Context(), admin, object(t, externalYAML), pushed("main@sha1:1", "nowhere", nil), false); err == nil {
		t.Error("an artifact without its blobs was taken")
	}
	if _, err := b.Object(t.Context(), "ExternalArtifact", "apps", "pushed"); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("the refused push left its object: %v", err)
	}
}

func TestDryRunOfAPushForeseesAndStoresNothing(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	foresee := func(revision, tree string) resource.Change {
		t.Helper()
		_, change, err := b.PushArtifact(t.Context(), admin, object(t, externalYAML), pushed(revision, tree, nil), true)
		if err != nil {
			t.Fatal(err)
		}
		return change
	}
	if change := foresee("main@sha1:1", "one"); change != resource.Created {
		t.Errorf("before the first push: %s", change)
	}
	if _, err := b.Object(t.Context(), "ExternalArtifact", "apps", "pushed"); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("the dry run declared the object: %v", err)
	}
	b.push("main@sha1:1", "one", nil)
	if change := foresee("main@sha1:1", "one"); change != resource.Unchanged {
		t.Errorf("of the same: %s", change)
	}
	if change := foresee("main@sha1:2", "one"); change != resource.Configured {
		t.Errorf("of another revision: %s", change)
	}
	if state := b.pushedState(); state.Revision != "main@sha1:1" {
		t.Errorf("the dry run moved it to %s", state.Revision)
	}
}

func TestPushedArtifactIsForgottenWithItsObject(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.push("main@sha1:1", "one", nil)
	if _, err := b.DeleteObject(t.Context(), admin, resource.Deletion{Kind: "ExternalArtifact", Namespace: "apps", Name: "pushed"}); err != nil {
		t.Fatal(err)
	}
	b.apply(externalYAML)
	if state := b.pushedState(); state.Revision != "" || !state.Tree.IsZero() {
		t.Errorf("declared anew, it is at %+v", state)
	}
}
