package store_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/hub/store"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
	"flotilla.dev/flotilla/test/lab"
)

const helmRepositoryYAML = `{"apiVersion":"source.toolkit.fluxcd.io/v1","kind":"HelmRepository","metadata":{"name":"charts","namespace":"apps"},"spec":{"url":"https://charts.example.com"}}`

// hrYAML is a HelmRelease with a chart of its own.
func hrYAML(name, more string) string {
	return `{"apiVersion":"helm.toolkit.fluxcd.io/v2","kind":"HelmRelease","metadata":{"name":"` + name + `","namespace":"apps"},"spec":{"interval":"10m",
		"chart":{"spec":{"chart":"app","sourceRef":{"kind":"HelmRepository","name":"charts"}}}` + more + `}}`
}

// refYAML is a HelmRelease of a HelmChart.
func refYAML(name, chart string) string {
	return `{"apiVersion":"helm.toolkit.fluxcd.io/v2","kind":"HelmRelease","metadata":{"name":"` + name + `","namespace":"apps"},"spec":{"interval":"10m","chartRef":{"kind":"HelmChart","name":"` + chart + `"}}}`
}

func chartYAML(name, more string) string {
	return `{"apiVersion":"source.toolkit.fluxcd.io/v1","kind":"HelmChart","metadata":{"name":"` + name + `","namespace":"apps"` + more + `},"spec":{"interval":"10m","chart":"app","sourceRef":{"kind":"HelmRepository","name":"charts"}}}`
}

// refuses wants an object to be a conflict, in those words.
func (b *bundle) refuses(text, want string) {
	b.t.Helper()
	_, _, _, err := b.ApplyObject(b.t.Context(), admin, object(b.t, text), fleet.Order{})
	if !errors.Is(err, fleet.ErrConflict) || !strings.Contains(err.Error(), want) {
		b.t.Errorf("applied: %v, want a conflict that says %q", err, want)
	}
}

func (b *bundle) delete(kind, name string) error {
	_, err := b.DeleteObject(b.t.Context(), admin, resource.Deletion{Kind: kind, Namespace: "apps", Name: name})
	return err
}

// charts are the names of the HelmCharts there are.
func (b *bundle) charts() string {
	b.t.Helper()
	objects, _, err := b.Objects(b.t.Context(), resource.Query{Kind: "HelmChart"})
	if err != nil {
		b.t.Fatal(err)
	}
	var names []string
	for _, o := range objects {
		names = append(names, o.Metadata.Name)
	}
	return strings.Join(names, " ")
}

func TestAHelmChartIsMadeForAHelmReleaseAndGoesWithIt(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.apply(helmRepositoryYAML)
	b.apply(hrYAML("web", ""))
	made, err := b.Object(t.Context(), "HelmChart", "apps", "apps-web")
	if err != nil || made.Owner.Words() != "HelmRelease/apps/web" || made.Metadata.Generation != 1 {
		t.Fatalf("made is %+v, error %v", made, err)
	}
	if change, _ := b.apply(hrYAML("web", "")); change != resource.Unchanged {
		t.Errorf("applied again: %s", change)
	}
	b.apply(hrYAML("web", `,"timeout":"1m"`))
	if same, err := b.Object(t.Context(), "HelmChart", "apps", "apps-web"); err != nil || same.Metadata.Generation != 1 {
		t.Errorf("what the chart says nothing of makes generation %d of it (error %v)", same.Metadata.Generation, err)
	}
	if err := b.delete("HelmRelease", "web"); err != nil {
		t.Fatal(err)
	}
	if left := b.charts(); left != "" {
		t.Errorf("left are %s", left)
	}
	b.apply(hrYAML("web", ""))
	b.apply(chartYAML("other", ""))
	b.apply(refYAML("web", "other"))
	if left := b.charts(); left != "other" {
		t.Errorf("with chartRef there are %s", left)
	}
}

func TestWhatIsMadeForAHelmReleaseIsNotChangedByHand(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.apply(helmRepositoryYAML)
	b.apply(hrYAML("web", ""))
	const owned = `,"labels":{"helm.toolkit.fluxcd.io/name":"web","helm.toolkit.fluxcd.io/namespace":"apps"}`
	b.refuses(strings.Replace(chartYAML("apps-web", owned), `"chart":"app"`, `"chart":"other"`, 1), "it is made of spec.chart of HelmRelease/apps/web: change that")
	if change, _ := b.apply(strings.Replace(chartYAML("apps-web", owned), `"10m"`, `"10m0s"`, 1)); change != resource.Unchanged {
		t.Errorf("what was exported is %s", change)
	}
	if err := b.delete("HelmChart", "apps-web"); !errors.Is(err, fleet.ErrConflict) || !strings.Contains(err.Error(), "goes with that") {
		t.Errorf("deleted: %v", err)
	}
	if _, _, err := b.Suspend(t.Context(), admin, "HelmChart", "apps", "apps-web", false); err != nil {
		t.Fatal(err)
	}
	b.apply(hrYAML("web", `,"values":{"a":1}`))
	if chart, err := b.Object(t.Context(), "HelmChart", "apps", "apps-web"); err != nil || !strings.Contains(string(chart.Spec), `"suspend": true`) {
		t.Errorf("a chart that was suspended is %s (error %v)", chart.Spec, err)
	}
}

func TestAHelmReleaseTakesOverWhatFluxMadeForItAndNothingElse(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.apply(helmRepositoryYAML)
	b.apply(chartYAML("apps-web", ""))
	b.refuses(hrYAML("web", ""), "HelmChart/apps/apps-web, and it is declared already")
	b.apply(chartYAML("apps-api", `,"labels":{"helm.toolkit.fluxcd.io/name":"other","helm.toolkit.fluxcd.io/namespace":"apps"}`))
	b.refuses(hrYAML("api", ""), "HelmChart/apps/apps-api, and it is declared already")
	b.apply(chartYAML("apps-db", `,"labels":{"helm.toolkit.fluxcd.io/name":"db","helm.toolkit.fluxcd.io/namespace":"apps"}`))
	b.apply(hrYAML("db", ""))
	if chart, err := b.Object(t.Context(), "HelmChart", "apps", "apps-db"); err != nil || chart.Owner.Words() != "HelmRelease/apps/db" {
		t.Errorf("it is of %s (error %v)", chart.Owner, err)
	}
}

func TestASourceOfAHelmReleaseIsNotDeletedWhileItIsUsed(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.apply(helmRepositoryYAML)
	b.apply(hrYAML("web", ""))
	b.apply(refYAML("other", "apps-web"))
	if err := b.delete("HelmRepository", "charts"); !errors.Is(err, fleet.ErrConflict) || !strings.Contains(err.Error(), "it is used by HelmRelease/apps/web: delete") {
		t.Errorf("the repository of its chart: %v", err)
	}
	// The other one does not keep the chart, nor what that is of, and is there still.
	for _, gone := range []struct{ kind, name string }{{"HelmRelease", "web"}, {"HelmRepository", "charts"}, {"HelmRelease", "other"}} {
		if err := b.delete(gone.kind, gone.name); err != nil {
			t.Error(err)
		}
	}
}

func TestNobodyKeepsAHelmReleaseAtItsChartByNamingThat(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.apply(helmRepositoryYAML)
	b.apply(hrYAML("web", ""))
	b.apply(refYAML("other", "apps-web"))
	b.apply(chartYAML("own", ""))
	b.apply(refYAML("web", "own"))
	if made := b.charts(); made != "own" {
		t.Errorf("there are %s", made)
	}
}

func TestHelmReleasesThatWaitForEachOtherAreRefused(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.apply(hrYAML("a", `,"dependsOn":[{"name":"b"}]`))
	b.apply(strings.Replace(ksYAML, `"interval":"10m"`, `"interval":"10m","dependsOn":[{"name":"a"}]`, 1)) // another kind's a
	_, _, _, err := b.ApplyObject(t.Context(), admin, object(t, hrYAML("b", `,"dependsOn":[{"name":"a"}]`)), fleet.Order{})
	if !errors.Is(err, fleet.ErrInvalid) || !strings.Contains(err.Error(), "spec.dependsOn: each of these would wait for the next, for ever: apps/b -> apps/a -> apps/b") {
		t.Errorf("error %v", err)
	}
	annotated := strings.Replace(hrYAML("b", ""), `"namespace":"apps"}`, `"namespace":"apps","annotations":{"fleet.flotilla.dev/depends-on":"Kustomization/apps/app"}}`, 1)
	b.apply(annotated)
	_, _, _, err = b.ApplyObject(t.Context(), admin, object(t, strings.Replace(ksYAML, `"namespace":"apps"}`, `"namespace":"apps","annotations":{"fleet.flotilla.dev/depends-on":"HelmRelease/apps/a"}}`, 1)), fleet.Order{})
	if !errors.Is(err, fleet.ErrInvalid) || !strings.Contains(err.Error(), "metadata.annotations[fleet.flotilla.dev/depends-on]: each of these would wait for the next, for ever: Kustomization/apps/app -> HelmRelease/apps/a -> HelmRelease/apps/b -> Kustomization/apps/app") {
		t.Errorf("across kinds: error %v", err)
	}
}

func TestHelmChartsOfOtherNamespacesAreMadeOnceThatIsAllowed(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.apply(strings.Replace(hrYAML("web", ""), `"name":"charts"`, `"name":"charts","namespace":"shared"`, 1))
	b.apply(strings.Replace(hrYAML("taken", ""), `"name":"charts"`, `"name":"charts","namespace":"shared"`, 1))
	b.apply(strings.Replace(chartYAML("apps-taken", ""), `"namespace":"apps"`, `"namespace":"shared"`, 1))
	if made := b.charts(); made != "apps-taken" {
		t.Fatalf("before it is allowed there are %s", made)
	}
	// Another version of the hub has made this one of other fields.
	b.apply(hrYAML("old", ""))
	conn, err := pgx.Connect(t.Context(), b.url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	if _, err := conn.Exec(t.Context(), `UPDATE object SET spec = spec || '{"version":"1.x"}' WHERE name = 'apps-old'`); err != nil {
		t.Fatal(err)
	}
	b.restart(true)
	if chart, err := b.Object(t.Context(), "HelmChart", "shared", "apps-web"); err != nil || chart.Owner.Words() != "HelmRelease/apps/web" {
		t.Errorf("made is %+v, error %v", chart, err)
	}
	if chart, err := b.Object(t.Context(), "HelmChart", "apps", "apps-old"); err != nil || strings.Contains(string(chart.Spec), "1.x") || chart.Metadata.Generation != 2 {
		t.Errorf("what another version made: %+v, error %v", chart, err)
	}
	b.restart(false)
	if made := b.charts(); made != "apps-old apps-taken" {
		t.Errorf("once it is allowed no more there are %s", made)
	}
}

// restart opens the store once more, as a hub does that starts.
func (b *bundle) restart(crossNamespace bool) {
	b.t.Helper()
	s, err := store.Open(b.t.Context(), store.Config{URL: b.url, Sealer: plain{}, KeyFingerprint: fleet.DigestOf([]byte("key")), CrossNamespaceRefs: crossNamespace, Log: slog.New(slog.DiscardHandler), MaxConnections: 4})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(s.Close)
}

// Of two who declare the same at once, the second has looked at nothing: what it writes over may be anybody's.
func TestAHelmChartThatAPersonDeclaresMeanwhileIsNotTakenOver(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	connect := func() *pgx.Conn {
		t.Helper()
		conn, err := pgx.Connect(t.Context(), b.url)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
		return conn
	}
	watching := connect() // what a transaction has seen of the others' work, it goes on seeing
	tx, err := connect().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const person = `INSERT INTO object (home, kind, namespace, name, labels, annotations, spec) VALUES ('hub', 'HelmChart', 'apps', 'apps-web', '{}', '{}', '{"chart": "mine"}')`
	if _, err := tx.Exec(t.Context(), person); err != nil {
		t.Fatal(err)
	}
	applied := make(chan error, 1)
	go func() {
		_, _, _, err := b.ApplyObject(t.Context(), admin, object(t, hrYAML("web", "")), fleet.Order{})
		applied <- err
	}()
	lab.Eventually(t, time.Minute, "the HelmRelease to come to the row of its chart", func() error {
		var waiting bool
		const query = `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'INSERT INTO object%')`
		if err := watching.QueryRow(t.Context(), query).Scan(&waiting); err != nil || waiting {
			return err
		}
		return errors.New("it does not wait")
	})
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-applied; !errors.Is(err, fleet.ErrConflict) || !strings.Contains(err.Error(), "HelmChart/apps/apps-web: ") {
		t.Errorf("applied: %v", err)
	}
	chart, err := b.Object(t.Context(), "HelmChart", "apps", "apps-web")
	if err != nil || chart.Owner != (fleet.Key{}) || !strings.Contains(string(chart.Spec), "mine") {
		t.Errorf("the person's is %+v, error %v", chart, err)
	}
	b.refuses(hrYAML("web", ""), "and it is declared already")
}
