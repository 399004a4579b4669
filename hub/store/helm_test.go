package store_test

import (
	"testing"
	"time"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
)

var webKey = fleet.Key{Home: fleet.HubHome, Kind: "HelmRelease", Namespace: "apps", Name: "web"}

// runningChart has the HelmRelease web on one cluster, prod-1.
func runningChart(t *testing.T) *bundle {
	t.Helper()
	b := newBundle(t)
	for _, declared := range []string{
		clusterYAML("prod-1", "prod"), helmRepositoryYAML, hrYAML("web", ""),
		placementYAML(`{"apps":[{"kind":"HelmRelease","name":"web"}],"clusters":{"selector":{}},"overrides":[{"clusters":{"selector":{}},"values":{"a":1}}]}`),
	} {
		b.apply(declared)
	}
	if err := b.Blobs().PutWhole(t.Context(), []byte("one"), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Released(t.Context(), 1, "1.0.0", fleet.Release{App: webKey, Manifest: fleet.DigestOf([]byte("one"))}); err != nil {
		t.Fatal(err)
	}
	b.roll()
	return b
}

func (b *bundle) web() fleet.Instance {
	b.t.Helper()
	found, _, err := b.Instances(b.t.Context(), fleet.InstanceQuery{Kind: "HelmRelease", Detail: true})
	if err != nil || len(found) != 1 {
		b.t.Fatalf("%d instances, error %v", len(found), err)
	}
	return found[0]
}

func TestAHelmReleaseIsAssignedWithItsPlacementsValues(t *testing.T) {
	t.Parallel()
	b := runningChart(t)
	if a := b.web().Assignment; a.App != webKey || string(a.Binding.Values) != `{"a":1}` || a.Timeout == 0 {
		t.Errorf("assigned is %+v", a)
	}
}

// A force in one cluster is none in the others, and counts with its request alone.
func TestARequestMayForceAHelmReleaseAndForgetItsFailures(t *testing.T) {
	t.Parallel()
	b := runningChart(t)
	everywhere, err := b.RequestReconcile(t.Context(), admin, "HelmRelease", "apps", "web", nil, fleet.LookOptions{Force: true, Reset: true})
	if err != nil {
		t.Fatal(err)
	}
	b.roll()
	if c := b.web().Assignment.Controls; c.RequestedAt != everywhere.At || c.Helm.ForceAt != everywhere.At || c.Helm.ResetAt != everywhere.At {
		t.Errorf("asked at %s, controls %+v", everywhere.At, c)
	}
	b.apply(hrYAML("web", "")) // does not take the request back
	plain, err := b.RequestInstance(t.Context(), admin, webKey, "prod-1", fleet.LookOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b.roll()
	if c := b.web().Assignment.Controls; c.RequestedAt != plain.At || c.Helm.ForceAt != everywhere.At {
		t.Errorf("asked at %s, controls %+v", plain.At, c)
	}
	forced, err := b.RequestInstance(t.Context(), admin, webKey, "prod-1", fleet.LookOptions{Force: true})
	if err != nil {
		t.Fatal(err)
	}
	b.roll()
	if c := b.web().Assignment.Controls; c.Helm.ForceAt != forced.At || c.Helm.ResetAt != everywhere.At || c.RequestedAt != forced.At {
		t.Errorf("asked at %s, controls %+v", forced.At, c)
	}
}

// Tools write what they like into the annotation, and webhooks a time that is about to come.
func TestARequestForOneClusterCountsWhateverTheAnnotationSays(t *testing.T) {
	t.Parallel()
	b := runningChart(t)
	annotate := func(annotations string) string {
		b.execute(`UPDATE object SET annotations = annotations || '` + annotations + `' WHERE kind = 'HelmRelease'`)
		b.roll()
		return b.web().Assignment.RequestedAt
	}
	ask := func() (asked, assigned string) {
		request, err := b.RequestInstance(t.Context(), admin, webKey, "prod-1", fleet.LookOptions{})
		if err != nil {
			t.Fatal(err)
		}
		b.roll()
		return request.At, b.web().Assignment.RequestedAt
	}
	if asked, assigned := ask(); asked != assigned {
		t.Errorf("asked at %q, assigned %q", asked, assigned)
	}
	for _, own := range []string{"1767323045", "2126-01-01T00:00:00Z", "2020-01-01T00:00:00Z"} {
		if assigned := annotate(`{"reconcile.fluxcd.io/requestedAt": "` + own + `"}`); assigned != own {
			t.Errorf("asked for %q everywhere, assigned %q", own, assigned)
		}
		if asked, assigned := ask(); asked != assigned {
			t.Errorf("asked at %q while %q was asked for everywhere, assigned %q", asked, own, assigned)
		}
	}
	before := b.web().Assignment.RequestedAt
	waiting := `{"reconcile.fluxcd.io/requestedAt": "2026-01-01T00:00:00Z", "fleet.flotilla.dev/with-source": "2026-01-01T00:00:00Z", "fleet.flotilla.dev/requested-before": "2020-01-01T00:00:00Z"}`
	if assigned := annotate(waiting); assigned != before {
		t.Errorf("what waits for its Source is assigned: %q", assigned)
	}
	if asked, assigned := ask(); asked != assigned {
		t.Errorf("asked at %q while everywhere waits for a Source, assigned %q", asked, assigned)
	}
	b.execute(`INSERT INTO source (kind, namespace, name, handled_reconcile_at) VALUES ('HelmChart', 'apps', 'apps-web', '2026-01-01T00:00:00Z')`)
	if assigned := annotate(`{}`); assigned != "2026-01-01T00:00:00Z" {
		t.Errorf("what had waited for its Source is not assigned, but %q", assigned)
	}
}

func TestWhatASpokeTellsOfAHelmReleaseIsKept(t *testing.T) {
	t.Parallel()
	b := runningChart(t)
	session := b.connect("prod-1", fleet.StateID{})
	a := b.web().Assignment
	report := fleet.Report{App: webKey, Epoch: 1, Generation: a.Generation, Release: a.Release.Digest(), Stage: fleet.StageSettled, Waiting: fleet.WaitingNone}
	for sequence, detail := range []string{"", `{"failures": 1}`, `{"failures": 2}`, ""} {
		report.Detail = []byte(detail)
		if err := b.StoreReports(t.Context(), session.Cluster, fleet.ReportBatch{Session: session.Number, Sequence: uint64(sequence + 1), Reports: []fleet.Report{report}}); err != nil {
			t.Fatal(err)
		}
		if got := string(b.web().Report.Detail); got != detail {
			t.Errorf("kept is %q, want %q", got, detail)
		}
	}
}

// What a spoke tells beside a Report may be 64 KiB: who looks at all Apps of the fleet does not read it.
func TestWhatASpokeTellsOfAHelmReleaseIsReadWhereItIsAskedForAlone(t *testing.T) {
	t.Parallel()
	b := runningChart(t)
	session := b.connect("prod-1", fleet.StateID{})
	a := b.web().Assignment
	var since []time.Time
	for n, detail := range []string{
		`{"drifted": {"status": "False"}}`, `{"drifted": {"status": "False"}, "failures": 1}`, `{"drifted": {"status": "True"}}`, `{"drifted": {"status": "True"}, "failures": 2}`, "",
	} {
		report := fleet.Report{App: webKey, Epoch: 1, Generation: a.Generation, Release: a.Release.Digest(), Stage: fleet.StageSettled, Waiting: fleet.WaitingNone, Detail: []byte(detail)}
		if err := b.StoreReports(t.Context(), session.Cluster, fleet.ReportBatch{Session: session.Number, Sequence: uint64(n + 1), Reports: []fleet.Report{report}}); err != nil {
			t.Fatal(err)
		}
		all, _, err := b.Instances(t.Context(), fleet.InstanceQuery{})
		if err != nil || len(all) != 1 || all[0].Report.Detail != nil {
			t.Fatalf("%+v, error %v", all, err)
		}
		since = append(since, all[0].DriftedSince)
	}
	if since[0].IsZero() || !since[1].Equal(since[0]) || !since[2].After(since[1]) || !since[3].Equal(since[2]) || !since[4].IsZero() {
		t.Errorf("drifted, or not, since %v", since)
	}
}

// A history may be 64 KiB, and of all clusters it is read at each look of a watcher.
func TestABriefDetailHasNoHistoryButWhenTheNewestWasDeployed(t *testing.T) {
	t.Parallel()
	b := runningChart(t)
	session := b.connect("prod-1", fleet.StateID{})
	a := b.web().Assignment
	for n, test := range []struct{ detail, want string }{
		{`{"failures": 1, "history": [{"version": 2, "lastDeployed": "2026-01-02T03:04:05Z"}, {"version": 1}]}`, `{"history": [{"lastDeployed": "2026-01-02T03:04:05Z"}], "failures": 1}`},
		{`{"failures": 1}`, `{"failures": 1}`}, {"", ""},
	} {
		report := fleet.Report{App: webKey, Epoch: 1, Generation: a.Generation, Release: a.Release.Digest(), Stage: fleet.StageSettled, Waiting: fleet.WaitingNone, Detail: []byte(test.detail)}
		if err := b.StoreReports(t.Context(), session.Cluster, fleet.ReportBatch{Session: session.Number, Sequence: uint64(n + 1), Reports: []fleet.Report{report}}); err != nil {
			t.Fatal(err)
		}
		all, _, err := b.Instances(t.Context(), fleet.InstanceQuery{Detail: true, Brief: true})
		if err != nil || len(all) != 1 || string(all[0].Report.Detail) != test.want {
			t.Errorf("%+v, error %v, want %s", all, err, test.want)
		}
	}
}

func TestTheDeletionOfAHelmReleaseEndsItWhereItIs(t *testing.T) {
	t.Parallel()
	b := runningChart(t)
	if err := b.delete("HelmRelease", "web"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Roll(t.Context(), webKey, rollout.Next); err != nil {
		t.Fatal(err)
	}
	if a := b.web().Assignment; a.State != fleet.Removed || !a.Tombstone.Delete {
		t.Errorf("it is %s with %+v", a.State, a.Tombstone)
	}
}
