package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/hub/store"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/identity"
)

// stepped is the App whose steps are timed.
var stepped = fleet.Key{Home: fleet.HubHome, Kind: "Kustomization", Namespace: "rollout", Name: "steps"}

// steps times each step of a Rollout over many clusters. The hub has built the app and is stopped, so that this process
// makes the steps; the clusters' reports are written into the database.
func (r *rollouts) steps(ctx context.Context) (err error) {
	if err := r.fleet.Apply(ctx, declaredAs("steps", "bench: steps")+byPolicy); err != nil {
		return err
	}
	var releases [2]string
	for i := range releases {
		commit, err := r.commit(ctx, fmt.Sprint("steps-", i), false)
		if err != nil {
			return err
		}
		if releases[i], err = r.built(ctx, commit); err != nil {
			return err
		}
	}
	if err := r.fleet.Hub.Stop(); err != nil {
		return err
	}
	if err := r.seed(ctx); err != nil {
		return err
	}
	relay, err := startRelay(r.fleet.DatabaseURL())
	if err != nil {
		return err
	}
	defer relay.stop()
	root, err := identity.LoadKey(r.fleet.KeyFile())
	if err != nil {
		return err
	}
	s, err := store.Open(ctx, store.Config{URL: relay.url, Sealer: root, KeyFingerprint: root.Fingerprint(), Log: slog.New(slog.DiscardHandler), MaxConnections: 1})
	if err != nil {
		return err
	}
	defer s.Close()
	var took times
	for i, release := range releases {
		if _, err := r.db.Exec(ctx, `UPDATE app SET release = decode($2, 'hex') WHERE key = $1`, stepped.String(), release); err != nil {
			return err
		}
		took = times{} // of the second one, which changes an app that is there
		if err := r.roll(ctx, s, relay, &took); err != nil {
			return fmt.Errorf("rollout %d: %w", i+1, err)
		}
	}
	name := fmt.Sprintf("step over %d clusters", r.settings.clusters)
	r.add(figureOf(name+", engine", seconds, took.engine, "from what is known to what is to be written").upTo(0.050))
	r.add(slowest(name+", engine, p99", took.engine))
	r.add(figureOf(name+", on Postgres", seconds, took.whole, "the whole transaction: read, decided and written"))
	r.add(figureOf(name+", clusters moved", count, took.rows, "by a step"))
	r.add(figureOf(name+", round trips", count, took.trips, "to the database, by a step, whatever it changes"))
	return nil
}

// times are what steps took.
type times struct{ engine, whole, rows, trips sample }

// built waits until the app is built from a commit, and returns its Release.
func (r *rollouts) built(ctx context.Context, commit string) (release string, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	const query = `SELECT encode(release, 'hex') FROM app_revision WHERE app = $1 AND revision LIKE '%' || $2`
	for {
		err := r.db.QueryRow(ctx, query, stepped.String(), commit).Scan(&release)
		if !errors.Is(err, pgx.ErrNoRows) {
			return release, err
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return "", fmt.Errorf("%s is not built from %s: %w", stepped, commit, err)
		}
	}
}

// seed makes clusters until there are as many as steps are to go over, all of them connected.
func (r *rollouts) seed(ctx context.Context) error {
	for i := r.settings.spokes; i < r.settings.clusters; i++ {
		if _, err := r.db.Exec(ctx, `INSERT INTO object (home, kind, namespace, name, labels) VALUES ('hub', 'Cluster', '', $1, $2)`,
			fmt.Sprintf("seed-%05d", i), map[string]string{"tier": tier(i)}); err != nil {
			return err
		}
	}
	for _, sql := range []string{
		`INSERT INTO cluster (id, name, enrolled_at) SELECT uid, name, now() FROM object WHERE kind = 'Cluster' ON CONFLICT DO NOTHING`,
		`UPDATE object SET labels = labels || '{"bench": "steps"}' WHERE kind = 'Cluster'`,
		`UPDATE cluster SET connected = true, last_seen = now()`,
		`ANALYZE`,
	} {
		if _, err := r.db.Exec(ctx, sql); err != nil {
			return err
		}
	}
	r.say("%d clusters are known", r.settings.clusters)
	return nil
}

// roll makes steps until the Rollout under way is over. After each, every cluster reports that it runs what it is to.
func (r *rollouts) roll(ctx context.Context, s *store.Store, relay *relay, took *times) error {
	for range 1000 {
		var engine time.Duration
		over := false
		before, began := relay.trips(), time.Now()
		rows, err := s.Roll(ctx, stepped, func(state rollout.State) rollout.Step {
			began := time.Now()
			step := rollout.Next(state)
			engine = time.Since(began)
			over = slices.ContainsFunc(step.Rollouts, func(r *rollout.Rollout) bool { return r.Phase == rollout.Succeeded })
			return step
		})
		if err != nil {
			return err
		}
		took.whole = append(took.whole, time.Since(began).Seconds())
		took.engine = append(took.engine, engine.Seconds())
		took.rows, took.trips = append(took.rows, float64(rows)), append(took.trips, float64(relay.trips()-before))
		if over {
			return nil
		}
		if err := r.reports(ctx, stepped); err != nil {
			return err
		}
	}
	return fmt.Errorf("it is not over after %d steps", len(took.whole))
}

// reports has every cluster say of an App that all is well.
func (r *rollouts) reports(ctx context.Context, app fleet.Key) error {
	const write = `INSERT INTO report (cluster, app, epoch, generation, release, applied, stage, converged, available, terminal, waiting, ready, healthy,
			objects, objects_not_ready, not_ready, handled_reconcile_at, observed_at, drift_corrections)
		SELECT a.cluster, a.app, c.epoch, a.generation, a.release, a.release, 'Settled', true, true, false, 'None',
			'{"Status": "True"}', '{"Status": "True"}', 1, 0, '[]', '', now(), 0
		FROM assignment a JOIN cluster c ON c.id = a.cluster LEFT JOIN report r ON r.cluster = a.cluster AND r.app = a.app
		WHERE a.app = $1 AND r.generation IS DISTINCT FROM a.generation
		ON CONFLICT (cluster, app) DO UPDATE SET generation = excluded.generation, release = excluded.release, applied = excluded.applied`
	_, err := r.db.Exec(ctx, write, app.String())
	return err
}

// relayed is a database's URL by way of another address.
func relayed(database, address string) (string, error) {
	u, err := url.Parse(database)
	if err != nil {
		return "", err
	}
	u.Host = address
	return u.String(), nil
}
