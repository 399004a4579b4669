package store_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
)

// The database writes numbers out in full: 8 bytes of a tenant would be 131 KB at each look at its HelmReleases.
func TestNumbersInValuesStayAsSmallAsTheyAre(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	conn, err := pgx.Connect(t.Context(), b.url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	var digits int
	if err := conn.QueryRow(t.Context(), `SELECT length(('{"a":1e131000}'::jsonb)::text)`).Scan(&digits); err != nil || digits < 131_000 {
		t.Fatalf("it has %d digits, error %v", digits, err)
	}
	for _, number := range []string{"1e131000", "1e-131000", "1e40", strings.Repeat("9", 41)} {
		if _, err := resource.Decode([]byte(hrYAML("web", `,"values":{"a":[{"b":`+number+`}]}`))); !errors.Is(err, fleet.ErrInvalid) || !strings.Contains(err.Error(), "spec.values.a[0].b: ") {
			t.Errorf("%s: %v", number, err)
		}
	}
	const values = `,"values":{"a":1e39,"b":1e-38,"c":12345678901234567890,"d":-1.50}`
	b.apply(hrYAML("web", values))
	stored, err := b.Object(t.Context(), "HelmRelease", "apps", "web")
	if err != nil {
		t.Fatal(err)
	}
	for _, kept := range []string{`"a": 1000000000000000000000000000000000000000,`, `"b": 0.00000000000000000000000000000000000001,`, `"c": 12345678901234567890,`, `"d": -1.50}`} {
		if !strings.Contains(string(stored.Spec), kept) {
			t.Errorf("it has no %s: %s", kept, stored.Spec)
		}
	}
	if change, _ := b.apply(hrYAML("web", values)); change != resource.Unchanged {
		t.Errorf("applied again it is %s", change)
	}
}

// JSON has texts that the database does not.
func TestATextThatNoDatabaseTakesIsInvalidAndSaidOfItsObject(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	for _, text := range []string{
		hrYAML("web", `,"commonMetadata":{"annotations":{"a":"b\u0000"}}`),
		hrYAML("web", `,"commonMetadata":{"annotations":{"a":"\ud800"}}`),
		strings.Replace(hrYAML("web", ""), `"namespace":"apps"}`, `"namespace":"apps","annotations":{"a":"b\u0000"}}`, 1),
	} {
		_, _, _, err := b.ApplyObject(t.Context(), admin, object(t, text), fleet.Order{})
		if !errors.Is(err, fleet.ErrInvalid) || !strings.Contains(err.Error(), "HelmRelease/apps/web: ") || !strings.Contains(err.Error(), "NUL") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// As many of them go into a message as may be, and the answer to a person has it too.
func TestAnObjectThatIsTooLargeOnceItIsStoredIsRefused(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	large := strings.Replace(ksYAML, `"spec":{`, `"spec":{"postBuild":{"substitute":{"a":"`+strings.Repeat("x", 3<<19)+`"}},`, 1)
	_, _, _, err := b.ApplyObject(t.Context(), admin, object(t, large), fleet.Order{})
	if !errors.Is(err, fleet.ErrInvalid) || !strings.Contains(err.Error(), "Kustomization/apps/app: ") || !strings.Contains(err.Error(), "1572864 are allowed") {
		t.Fatal(err)
	}
	if _, err := b.Object(t.Context(), "Kustomization", "apps", "app"); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("it is stored: %v", err)
	}
}

// A cluster whose spoke is sent what no message takes would get nothing more of any App.
func TestAnAssignmentThatNoMessageTakesIsNotMade(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.placed()
	b.apply(gitYAML)
	b.apply(ksYAML)
	release := fleet.Release{App: appKey, Manifest: fleet.DigestOf([]byte("manifest")),
		ReleaseSpec: fleet.ReleaseSpec{PostBuild: &fleet.PostBuild{Substitute: map[string]string{"a": strings.Repeat("x", 4<<20)}}}}
	if err := b.Blobs().PutWhole(t.Context(), []byte("manifest"), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Released(t.Context(), 1, "main@sha1:1", release); err != nil {
		t.Fatal(err)
	}
	_, err := b.Roll(t.Context(), appKey, rollout.Next)
	if !errors.Is(err, fleet.ErrInvalid) || !strings.Contains(err.Error(), "Kustomization/apps/app to cluster ") || !strings.Contains(err.Error(), "are allowed: make its spec smaller") {
		t.Error(err)
	}
	if there := b.instances(); len(there) > 0 {
		t.Errorf("it is assigned to %d clusters", len(there))
	}
}
