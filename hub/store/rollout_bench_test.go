package store_test

import (
	"fmt"
	"log/slog"
	"testing"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/hub/store"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/test/lab"
)

// large is a fleet of many clusters in the database, all connected, under a policy that updates all at once.
type large struct {
	*store.Store
	b    *testing.B
	conn *pgx.Conn
	n    int
}

func newLarge(b *testing.B, clusters int) *large {
	b.Helper()
	url := lab.TestDatabase(b)
	s, err := store.Open(b.Context(), store.Config{URL: url, Sealer: plain{}, KeyFingerprint: fleet.DigestOf([]byte("key")), Log: slog.New(slog.DiscardHandler), MaxConnections: 4})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(s.Close)
	conn, err := pgx.Connect(b.Context(), url)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close(b.Context()) })
	l := &large{Store: s, b: b, conn: conn}
	for _, declared := range []string{
		policyYAML(`{"waves":[{"name":"all","maxConcurrent":"100%"}],"maxUnavailable":"100%"}`), gitYAML, ksYAML, placementYAML(managedEverywhere),
	} {
		if _, _, _, err := s.ApplyObject(b.Context(), admin, object(b, declared), fleet.Order{}); err != nil {
			b.Fatal(err)
		}
	}
	l.sql(`INSERT INTO object (home, kind, namespace, name, labels, spec) SELECT 'hub', 'Cluster', '', 'c-' || n, '{"tier": "prod"}', '{}' FROM generate_series(1, $1) n`, clusters)
	l.sql(`INSERT INTO cluster (id, name, enrolled_at, connected) SELECT uid, name, now(), true FROM object WHERE kind = 'Cluster'`)
	return l
}

func (l *large) sql(query string, args ...any) {
	l.b.Helper()
	if _, err := l.conn.Exec(l.b.Context(), query, args...); err != nil {
		l.b.Fatal(err)
	}
}

// push is a new Release.
func (l *large) push() {
	l.b.Helper()
	l.n++
	text := fmt.Sprint("manifest ", l.n)
	if err := l.Blobs().PutWhole(l.b.Context(), []byte(text), nil); err != nil {
		l.b.Fatal(err)
	}
	release := fleet.Release{App: appKey, Manifest: fleet.DigestOf([]byte(text)), Prune: true}
	if _, err := l.Released(l.b.Context(), 1, fleet.Revision(fmt.Sprint("main@sha1:", l.n)), release); err != nil {
		l.b.Fatal(err)
	}
}

// arrive has so many clusters report that they are at what they are assigned.
func (l *large) arrive(n int) {
	l.b.Helper()
	l.sql(`INSERT INTO report (cluster, app, epoch, generation, release, applied, stage, converged, available, terminal, waiting, ready, healthy, objects,
			objects_not_ready, not_ready, handled_reconcile_at, observed_at, drift_corrections)
		SELECT a.cluster, a.app, c.epoch, a.generation, a.release, a.release, 'Settled', true, true, false, 'None', '{"status": "True"}', '{"status": "True"}', 1, 0, '[]', '', now(), 0
			FROM assignment a JOIN cluster c ON c.id = a.cluster LEFT JOIN report r ON r.cluster = a.cluster AND r.app = a.app
			WHERE r.generation IS DISTINCT FROM a.generation ORDER BY a.cluster LIMIT $1
		ON CONFLICT (cluster, app) DO UPDATE SET generation = excluded.generation, release = excluded.release, applied = excluded.applied`, n)
}

func (l *large) roll() int {
	l.b.Helper()
	rows, err := l.Roll(l.b.Context(), appKey, rollout.Next)
	if err != nil {
		l.b.Fatal(err)
	}
	return rows
}

// settle has all clusters arrive, and the Rollout end.
func (l *large) settle() {
	l.b.Helper()
	for range 10 {
		l.arrive(1 << 30)
		l.roll()
		if r, err := l.Rollout(l.b.Context(), appKey, ""); err == nil && r.Phase == rollout.Succeeded {
			return
		}
	}
	l.b.Fatal("it does not end")
}

// What a step takes: that which gives every cluster a new Release, that which sees a hundred of them arrive, and that which
// finds nothing new.
func BenchmarkStep(b *testing.B) {
	for _, clusters := range []int{100, 1000, 10_000} {
		l := newLarge(b, clusters)
		l.push()
		l.roll()
		l.settle()
		b.Run(fmt.Sprintf("pins=%d", clusters), func(b *testing.B) {
			for range b.N {
				b.StopTimer()
				l.push()
				b.StartTimer()
				if rows := l.roll(); rows != clusters {
					b.Fatalf("%d rows written", rows)
				}
				b.StopTimer()
				l.settle()
				b.StartTimer()
			}
		})
		b.Run(fmt.Sprintf("reports=100/clusters=%d", clusters), func(b *testing.B) {
			for range b.N {
				b.StopTimer()
				l.push()
				l.roll()
				l.arrive(100)
				b.StartTimer()
				l.roll()
				b.StopTimer()
				l.settle()
				b.StartTimer()
			}
		})
		b.Run(fmt.Sprintf("nothing/clusters=%d", clusters), func(b *testing.B) {
			for range b.N {
				l.roll()
			}
		})
	}
}

// What a page of the list of all Assignments takes, of a hundred thousand.
func BenchmarkPage(b *testing.B) {
	for _, shape := range []struct{ apps, clusters int }{{10, 10_000}, {10_000, 10}} {
		l := newLarge(b, shape.clusters)
		l.push()
		var keys []string
		var payloads [][]byte
		for i := range shape.apps {
			app := fleet.Key{Home: fleet.HubHome, Kind: "Kustomization", Namespace: "apps", Name: fmt.Sprintf("listed-%05d", i)}
			keys = append(keys, app.String())
			payloads = append(payloads, fleet.Assignment{App: app, State: fleet.Active, Generation: 1, Pin: 1, Release: fleet.Release{App: app}}.Encode())
		}
		l.sql(`INSERT INTO assignment (cluster, app, state, generation, pin, release, placement, payload)
			SELECT c.id, a.app, 'Active', 1, 1, (SELECT digest FROM release LIMIT 1), 'app', a.payload FROM cluster c, unnest($1::text[], $2::bytea[]) AS a (app, payload)`, keys, payloads)
		l.sql(`INSERT INTO report (cluster, app, epoch, generation, release, applied, stage, converged, available, terminal, waiting, ready, healthy, objects,
				objects_not_ready, not_ready, handled_reconcile_at, observed_at, drift_corrections)
			SELECT cluster, app, 1, 1, release, release, 'Settled', true, true, false, 'None', '{"status": "True"}', '{"status": "True"}', 1, 0, '[]', '', now(), 0 FROM assignment`)
		l.sql(`ANALYZE`)
		b.Run(fmt.Sprintf("apps=%d/clusters=%d", shape.apps, shape.clusters), func(b *testing.B) {
			query := fleet.InstanceQuery{Kind: "Kustomization", Limit: 500}
			listed := 0
			for range b.N {
				page, _, err := l.Instances(b.Context(), query)
				if err != nil {
					b.Fatal(err)
				}
				if listed += len(page); len(page) < query.Limit {
					query.After, query.AfterThere = fleet.Key{}, ""
					continue
				}
				last := page[len(page)-1]
				query.After, query.AfterThere = last.Assignment.App, last.Cluster
			}
		})
	}
}
