package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/test/lab"
)

// noSeal seals nothing: no Secret is stored in these tests.
type noSeal struct{}

func (noSeal) Seal(plaintext, _ []byte) []byte       { return plaintext }
func (noSeal) Open(sealed, _ []byte) ([]byte, error) { return sealed, nil }
func (noSeal) MAC(data []byte) fleet.Digest          { return fleet.DigestOf(data) }

func openStore(t *testing.T) *Store {
	t.Helper()
	s, err := Open(t.Context(), Config{URL: lab.TestDatabaseFrom(t, "schema", Migrate), Sealer: noSeal{}, KeyFingerprint: fleet.DigestOf([]byte("key")), Log: slog.New(slog.DiscardHandler), MaxConnections: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func (s *Store) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	if _, err := s.pool.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func (s *Store) count(t *testing.T, from string) (n int) {
	t.Helper()
	if err := s.pool.QueryRow(t.Context(), `SELECT count(*) FROM `+from).Scan(&n); err != nil {
		t.Fatalf("%s: %v", from, err)
	}
	return n
}

func TestEveryTableHasABound(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	rows, err := s.pool.Query(t.Context(), `SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range tables {
		ruled := slices.ContainsFunc(retention, func(r rule) bool { return r.table == table })
		if _, bounded := unbounded[table]; ruled == bounded {
			t.Errorf("table %s: a retention rule (%t) or a reason for none (%t), exactly one", table, ruled, bounded)
		}
	}
}

// What each rule takes and leaves: setup makes rows past the bound (named old) and within it (named new).
func TestRetentionTakesWhatIsPastItsBoundOnly(t *testing.T) {
	t.Parallel()
	const cluster = `INSERT INTO cluster (id, name, version) VALUES ('00000000-0000-0000-0000-000000000001', 'prod-1', 2000)`
	const blob = `INSERT INTO blob (digest, size, used_at) VALUES ('old', 1, now() - interval '2 days'), ('new', 1, now() - interval '2 days')`
	const app = `INSERT INTO object (home, kind, namespace, name) VALUES ('hub', 'Kustomization', 'apps', 'app')`
	tests := map[string]struct {
		setup []string
		left  string // what must be left of the table, as a condition that all rows left fulfil
		rows  int
	}{
		"object": {[]string{`INSERT INTO object (home, kind, namespace, name, deleted_at) VALUES
			('hub', 'Kustomization', 'a', 'old', now() - interval '2 hours'), ('hub', 'Kustomization', 'a', 'new', now()), ('hub', 'Kustomization', 'a', 'live', NULL),
			('hub', 'Kustomization', 'a', 'needed', now() - interval '2 hours')`, cluster,
			`INSERT INTO assignment (cluster, app, state, generation, pin, placement, payload) VALUES ('00000000-0000-0000-0000-000000000001', 'hub/Kustomization/a/needed', 'Removed', 1, 1, '', '')`}, `name <> 'old'`, 3},
		"gone_instance": {[]string{app, cluster, `INSERT INTO gone_instance (cluster, app, at) VALUES ('old', 'hub/Kustomization/apps/old', now() - interval '2 hours'),
			('prod-1', 'hub/Kustomization/apps/old', now() - interval '2 hours'), ('old', 'hub/Kustomization/apps/new', now())`,
			`INSERT INTO gone_instance (cluster, app, at) VALUES ('prod-1', 'hub/Kustomization/apps/app', now() - interval '2 hours')`}, `cluster = 'prod-1' AND app LIKE '%/app' OR app LIKE '%/new'`, 2},
		"source": {[]string{`INSERT INTO source (kind, namespace, name) VALUES ('GitRepository', 'a', 'old')`}, `false`, 0},
		"upstream": {[]string{`INSERT INTO upstream (id, used_at) VALUES ('old', now() - interval '2 days'), ('new', now()), ('named', now() - interval '2 days')`,
			`INSERT INTO object (home, kind, namespace, name) VALUES ('hub', 'GitRepository', 'a', 'new')`,
			`INSERT INTO source (kind, namespace, name, upstream) VALUES ('GitRepository', 'a', 'new', 'named')`}, `id <> 'old' AND used_at > now() - interval '1 hour'`, 2},
		"app": {[]string{app, `INSERT INTO app (key) VALUES ('hub/Kustomization/apps/app'), ('hub/Kustomization/apps/old')`}, `key LIKE '%/app'`, 1},
		"event": {[]string{`INSERT INTO event (at, warning, reason, message, kind, namespace, name, cluster, object) VALUES
			(now() - interval '8 days', false, 'old', '', '', '', '', '', ''), (now(), false, 'new', '', '', '', '', '', '')`}, `reason = 'new'`, 1},
		"audit": {[]string{`INSERT INTO audit (number, at, principal, action, object, detail, previous, hash) VALUES
			(1, now() - interval '500 days', '', 'old', '', '', '', ''), (2, now() - interval '450 days', '', 'anchor', '', '', '', '')`}, `action = 'anchor'`, 1},
		"join_token": {[]string{cluster, `INSERT INTO join_token (id, secret_hash, cluster, expires_at) VALUES
			('old', '', '00000000-0000-0000-0000-000000000001', now() - interval '2 days'), ('new', '', '00000000-0000-0000-0000-000000000001', now())`}, `id = 'new'`, 1},
		"revoked_cluster": {[]string{`INSERT INTO revoked_cluster (id, until) VALUES (gen_random_uuid(), now() - interval '1 minute'), (gen_random_uuid(), now() + interval '1 minute')`}, `until > now()`, 1},
		"issued_state": {[]string{cluster, `INSERT INTO issued_state SELECT '00000000-0000-0000-0000-000000000001', 1, generate_series(1, 2000), ''`,
			`INSERT INTO issued_state SELECT '00000000-0000-0000-0000-000000000001', 2, generate_series(1, 600), ''`}, `epoch = 2 OR version > 1600`, 1000},
		"question": {[]string{cluster, `INSERT INTO question (id, cluster, ask, app, deadline) VALUES
			(gen_random_uuid(), '00000000-0000-0000-0000-000000000001', 'old', '', now() - interval '5 minutes'), (gen_random_uuid(), '00000000-0000-0000-0000-000000000001', 'new', '', now())`}, `ask = 'new'`, 1},
		"instance_request": {[]string{cluster, `INSERT INTO instance_request (cluster, app, at, confirmed) VALUES
			('00000000-0000-0000-0000-000000000001', 'old', now() - interval '40 days', false), ('00000000-0000-0000-0000-000000000001', 'new', now(), false),
			('00000000-0000-0000-0000-000000000001', 'confirmed', now() - interval '40 days', true)`}, `app <> 'old'`, 2},
		"prune_approval": {[]string{cluster, `INSERT INTO prune_approval (cluster, app, release, digest, at) VALUES
			('00000000-0000-0000-0000-000000000001', 'old', '', '', now() - interval '40 days'), ('00000000-0000-0000-0000-000000000001', 'new', '', '', now())`}, `app = 'new'`, 1},
		"report": {[]string{cluster, `INSERT INTO report (cluster, app, epoch, generation, stage, converged, available, terminal, waiting, ready, healthy, objects, objects_not_ready, not_ready, handled_reconcile_at, observed_at, drift_corrections)
			VALUES ('00000000-0000-0000-0000-000000000001', 'old', 1, 1, '', false, false, false, '', '{}', '{}', 0, 0, '[]', '', now(), 0)`}, `false`, 0},
		"instance_history": {[]string{cluster,
			`INSERT INTO assignment (cluster, app, state, generation, pin, placement, payload) VALUES ('00000000-0000-0000-0000-000000000001', 'here', 'Active', 1, 1, '', '')`,
			`INSERT INTO instance_history (cluster, app, release, revision, last_at, ready) SELECT '00000000-0000-0000-0000-000000000001', 'here', n::text::bytea, n::text, now() - n * interval '1 day', '{}' FROM generate_series(1, 30) n`,
			`INSERT INTO instance_history (cluster, app, release, revision, last_at, ready) SELECT '00000000-0000-0000-0000-000000000001', 'left', n::text::bytea, n::text, now() - n * interval '1 hour', '{}' FROM unnest(ARRAY[1, 30]) n`},
			`revision::int <= 20 AND (app = 'here' OR revision = '1')`, 21},
		// Release r is the App's present one: every commit that does not touch the App is a row of it. Cluster prod-1 runs
		// the older q, and last reported the still older p, of which the newest row each is kept.
		"app_revision": {[]string{blob, app, cluster,
			`INSERT INTO release (digest, app, content, manifest) SELECT d, 'hub/Kustomization/apps/app', '', 'new' FROM unnest(ARRAY['p', 'q', 'r']::bytea[]) d`,
			`INSERT INTO app (key, release) VALUES ('hub/Kustomization/apps/app', 'r')`,
			`INSERT INTO assignment (cluster, app, state, generation, pin, release, placement, payload) VALUES ('00000000-0000-0000-0000-000000000001', 'hub/Kustomization/apps/app', 'Active', 1, 1, 'q', '', '')`,
			`INSERT INTO report (cluster, app, epoch, generation, applied, stage, converged, available, terminal, waiting, ready, healthy, objects, objects_not_ready, not_ready, handled_reconcile_at, observed_at, drift_corrections)
				VALUES ('00000000-0000-0000-0000-000000000001', 'hub/Kustomization/apps/app', 1, 1, 'p', '', false, false, false, '', '{}', '{}', 0, 0, '[]', '', now(), 0)`,
			`INSERT INTO app_revision (app, revision, release, at) SELECT 'hub/Kustomization/apps/app', n::text, CASE WHEN n > 180 THEN 'p' WHEN n > 170 THEN 'q' ELSE 'r' END::bytea, now() - n * interval '1 minute' FROM generate_series(1, 200) n`,
			`INSERT INTO app_revision (app, revision, release, at) VALUES ('hub/Kustomization/apps/gone', '1', 'r', now())`},
			`app LIKE '%/app' AND (revision::int <= 50 OR revision IN ('171', '181'))`, 52},
		// Of the App, r1 to r5 are the newest; of those before them, Rollouts go to one and came from another, and one is known to
		// be good.
		"release": {[]string{blob, app, `INSERT INTO release (digest, app, content, manifest, used_at)
				SELECT ('r' || n)::bytea, 'hub/Kustomization/apps/app', '', 'new', now() - n * interval '1 day' - interval '2 days' FROM generate_series(1, 9) n`,
			`INSERT INTO release (digest, app, content, manifest, used_at) SELECT d, 'hub/Kustomization/apps/app', '', 'new', now() - interval '40 days' FROM unnest(ARRAY['target', 'base', 'good']::bytea[]) d`,
			`INSERT INTO rollout (id, app, kind, target, phase, policy, actor, version, created_at) VALUES ('ro-1', 'hub/Kustomization/apps/app', 'Forward', 'target', 'Halted', '{}', '', 1, now())`,
			`INSERT INTO rollout_member (rollout, cluster, name, wave, turn, phase, base) VALUES ('ro-1', gen_random_uuid(), 'prod-1', 0, 0, 'Failed', 'base')`,
			`INSERT INTO rollout_track (app, track, releases, stepped) VALUES ('hub/Kustomization/apps/app', '{}', '{good}', now())`,
			`INSERT INTO release (digest, app, content, manifest, used_at) VALUES ('gone', 'hub/Kustomization/apps/gone', '', 'new', now() - interval '2 days')`},
			`digest BETWEEN 'r1' AND 'r5' OR digest IN ('target', 'base', 'good')`, 8},
		// Of the App, 12 are over: two of them are past the bound in number and in time. Of the App that is gone, those past it in time.
		"rollout": {[]string{blob, app, `INSERT INTO release (digest, app, content, manifest) VALUES ('r', 'hub/Kustomization/apps/app', '', 'new')`,
			`INSERT INTO rollout (id, app, kind, target, phase, policy, plan, actor, version, created_at, finished_at)
				SELECT 'ro-' || n, 'hub/Kustomization/apps/app', 'Forward', 'r', 'Succeeded', '{}', '', '', 1, now() - n * interval '40 days', now() - n * interval '40 days' FROM generate_series(1, 12) n`,
			`INSERT INTO rollout (id, app, kind, target, phase, policy, plan, actor, version, created_at) VALUES
				('ro-0', 'hub/Kustomization/apps/app', 'Forward', 'r', 'Halted', '{}', '', '', 1, now() - interval '900 days')`,
			`INSERT INTO rollout (id, app, kind, target, phase, policy, plan, actor, version, created_at, finished_at) SELECT 'ro-gone-' || n,
				'hub/Kustomization/apps/gone', 'Forward', 'r', 'Cancelled', '{}', '', '', 1, now() - interval '50 days', now() - n * interval '25 days' FROM generate_series(1, 2) n`},
			`id = 'ro-gone-1' OR id NOT LIKE 'ro-gone%' AND substr(id, 4)::int <= 10`, 12},
		"rollout_event": {[]string{blob, app, `INSERT INTO release (digest, app, content, manifest) VALUES ('r', 'hub/Kustomization/apps/app', '', 'new')`,
			`INSERT INTO rollout (id, app, kind, target, phase, policy, actor, version, last_event, created_at)
				VALUES ('ro-1', 'hub/Kustomization/apps/app', 'Forward', 'r', 'Halted', '{}', '', 1, 100003, now())`,
			`INSERT INTO rollout_event (rollout, number, at, type) SELECT 'ro-1', n, now(), '' FROM unnest(ARRAY[1, 3, 4, 100003]) n`}, `number >= 4`, 2},
		"outage": {[]string{`INSERT INTO outage (since, until) VALUES
			(now() - interval '40 days', now() - interval '31 days'), (now() - interval '40 days', now() - interval '29 days')`}, `until > now() - interval '30 days'`, 1},
		// The App that is gone in all clusters but one is needed there.
		"rollout_track": {[]string{app, cluster,
			`INSERT INTO assignment (cluster, app, state, generation, pin, placement, payload) VALUES ('00000000-0000-0000-0000-000000000001', 'hub/Kustomization/apps/needed', 'Removed', 1, 1, '', '')`,
			`INSERT INTO rollout_track (app, track, releases, stepped) SELECT 'hub/Kustomization/apps/' || n, '{}', '{}', now() FROM unnest(ARRAY['app', 'needed', 'gone']) n`},
			`app NOT LIKE '%/gone'`, 2},
		"build": {[]string{blob, `INSERT INTO build (key, manifest, used_at) VALUES ('old', 'old', now() - interval '40 days'), ('new', 'new', now())`}, `key = 'new'`, 1},
		"build_inputs": {[]string{app, `INSERT INTO build_inputs (app, recipe, inputs) VALUES
			('hub/Kustomization/apps/app', 'r', ''), ('hub/Kustomization/apps/old', 'r', '')`}, `app LIKE '%/app'`, 1},
		"earlier_inputs": {[]string{app, `INSERT INTO earlier_inputs (app, recipe, digest, inputs) VALUES
			('hub/Kustomization/apps/app', 'r', 'd', ''), ('hub/Kustomization/apps/old', 'r', 'd', '')`}, `app LIKE '%/app'`, 1},
		"distrusted_shape": {[]string{app, `INSERT INTO distrusted_shape (namespace, builder, shape) VALUES ('apps', 'b', 's'), ('old', 'b', 's')`}, `namespace = 'apps'`, 1},
		"build_claim": {[]string{`INSERT INTO build_claim (key, claimed_by, claimed_until) VALUES
			('old', gen_random_uuid(), now() - interval '1 minute'), ('new', gen_random_uuid(), now() + interval '1 minute')`}, `key = 'new'`, 1},
		"blob": {[]string{blob, `INSERT INTO blob (digest, size, used_at) VALUES ('part', 1, now() - interval '2 days'), ('young', 1, now())`,
			`INSERT INTO blob_part (whole, part) VALUES ('new', 'part')`, `INSERT INTO build (key, manifest) VALUES ('k', 'new')`}, `digest <> 'old'`, 3},
	}
	for _, r := range retention {
		if _, tested := tests[r.table]; !tested {
			t.Errorf("the rule of %s has no test", r.table)
		}
	}
	for table, test := range tests {
		t.Run(table, func(t *testing.T) {
			t.Parallel()
			s := openStore(t)
			for _, sql := range test.setup {
				s.exec(t, sql)
			}
			if err := s.retain(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got, kept := s.count(t, table), s.count(t, table+` WHERE `+test.left); got != test.rows || kept != test.rows {
				t.Errorf("%d rows left, %d of them such that %s; want %d", got, kept, test.left, test.rows)
			}
		})
	}
}

// The bounds in numbers, beside those in time.
func TestRetentionBoundsHowManyThereAre(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	s.exec(t, `INSERT INTO event (at, warning, reason, message, kind, namespace, name, cluster, object)
		SELECT now(), false, n::text, '', '', '', '', '', '' FROM generate_series(1, 100200) n`)
	s.exec(t, `INSERT INTO blob (digest, size) VALUES ('m', 1)`)
	s.exec(t, `INSERT INTO build (key, manifest, used_at) SELECT n::text::bytea, 'm', now() - n * interval '1 second' FROM generate_series(1, 10200) n`)
	if err := s.retain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := s.count(t, `event WHERE reason::int > 200`); got != 100_000 || got != s.count(t, `event`) {
		t.Errorf("%d of the newest events, %d in all", got, s.count(t, `event`))
	}
	if got := s.count(t, `build WHERE convert_from(key, 'UTF8')::int <= 10000`); got != 10_000 || got != s.count(t, `build`) {
		t.Errorf("%d of the newest builds, %d in all", got, s.count(t, `build`))
	}
}

// A blob stays as long as anything that names it, and as what it is a part of.
func TestBlobsStayAsLongAsTheyAreNamed(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	for _, name := range []string{"build", "release", "pin", "tree", "last", "nothing"} {
		s.exec(t, `INSERT INTO blob (digest, size, used_at) VALUES ($1::text::bytea, 1, now() - interval '2 days'), ($2::text::bytea, 1, now() - interval '2 days')`, name, name+"-part")
		s.exec(t, `INSERT INTO blob_part (whole, part) VALUES ($1::text::bytea, $2::text::bytea)`, name, name+"-part")
		s.exec(t, `INSERT INTO blob_chunk (digest, number, data) VALUES ($1::text::bytea, 0, '')`, name)
	}
	for _, sql := range []string{
		`INSERT INTO cluster (id, name) VALUES ('00000000-0000-0000-0000-000000000001', 'prod-1')`,
		`INSERT INTO object (home, kind, namespace, name) VALUES ('hub', 'Kustomization', 'apps', 'app'), ('hub', 'GitRepository', 'apps', 'app')`,
		`INSERT INTO build (key, manifest) VALUES ('k', 'build')`,
		`INSERT INTO release (digest, app, content, manifest) VALUES ('r', 'hub/Kustomization/apps/app', '', 'release')`,
		`INSERT INTO assignment_pin (cluster, app, pin, manifest) VALUES ('00000000-0000-0000-0000-000000000001', 'hub/Kustomization/apps/app', 1, 'pin')`,
		`INSERT INTO upstream (id, tree_blob) VALUES ('u', 'tree')`,
		`INSERT INTO source (kind, namespace, name, upstream, tree_blob) VALUES ('GitRepository', 'apps', 'app', 'u', 'last')`,
	} {
		s.exec(t, sql)
	}
	if err := s.retain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := s.count(t, `blob`); got != 10 || s.count(t, `blob WHERE digest LIKE 'nothing%'`) != 0 {
		t.Errorf("%d blobs left, %d of what nothing names", got, s.count(t, `blob WHERE digest LIKE 'nothing%'`))
	}
	if chunks, parts := s.count(t, `blob_chunk`), s.count(t, `blob_part`); chunks != 5 || parts != 5 {
		t.Errorf("%d chunks and %d parts left of 5 wholes", chunks, parts)
	}
	for _, sql := range []string{`DELETE FROM build`, `DELETE FROM release`, `DELETE FROM assignment_pin`, `UPDATE upstream SET tree_blob = NULL`, `UPDATE source SET tree_blob = NULL`} {
		s.exec(t, sql)
	}
	if err := s.retain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := s.count(t, `blob`); got != 0 {
		t.Errorf("%d blobs left that nothing names", got)
	}
}

// More blobs than one statement looks at; what a Tree that goes needed is met before it.
func TestBlobsGoHoweverManyThereAre(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	s.exec(t, `INSERT INTO blob (digest, size, used_at) SELECT ('d' || n)::bytea, 1, now() - CASE WHEN n % 4 = 0 THEN interval '1 hour' ELSE interval '2 days' END
		FROM generate_series(1, 12000) n`)
	s.exec(t, `INSERT INTO blob (digest, size, used_at) VALUES ('z', 1, now() - interval '2 days')`)
	s.exec(t, `INSERT INTO blob_part (whole, part) SELECT 'z', digest FROM blob WHERE digest <> 'z'`)
	if err := s.retain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if all, fresh := s.count(t, `blob`), s.count(t, `blob WHERE used_at > now() - interval '2 hours'`); all != 3000 || fresh != 3000 {
		t.Errorf("%d blobs left, %d of them fresh; want 3000", all, fresh)
	}
}

// A blob that somebody finds while it is to go stays.
func TestBlobThatIsFoundMeanwhileStays(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	digest := fleet.DigestOf([]byte("a"))
	s.exec(t, `INSERT INTO blob (digest, size, used_at) VALUES ($1, 1, now() - interval '2 days')`, digest.Bytes())
	tx, err := s.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
	if _, err := tx.Exec(t.Context(), `UPDATE blob SET used_at = now()`); err != nil {
		t.Fatal(err)
	}
	if err := s.retain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if missing, err := s.Blobs().Missing(t.Context(), []fleet.Digest{digest}); err != nil || len(missing) != 0 {
		t.Errorf("missing %v, error %v", missing, err)
	}
}

func TestRetainLooksAgainAndAgain(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Retain(ctx, 10*time.Millisecond) }()
	for range 2 {
		s.exec(t, `INSERT INTO revoked_cluster (id, until) VALUES (gen_random_uuid(), now() - interval '1 minute')`)
		lab.Eventually(t, time.Minute, "what is past its bound goes", func() error {
			if n := s.count(t, `revoked_cluster`); n > 0 {
				return fmt.Errorf("%d rows left", n)
			}
			return nil
		})
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestAuditLogRefusesChanges(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	s.exec(t, `INSERT INTO audit (number, at, principal, action, object, detail, previous, hash) VALUES (1, now(), '', '', '', '', '', '')`)
	for _, sql := range []string{`UPDATE audit SET action = 'x'`, `DELETE FROM audit`, `TRUNCATE audit`} {
		if _, err := s.pool.Exec(t.Context(), sql); err == nil || !strings.Contains(err.Error(), "append-only") {
			t.Errorf("%s: error %v", sql, err)
		}
	}
}

func TestChangedAuditRowBreaksTheChain(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	for i := range 3 {
		if err := s.AddAdminToken(t.Context(), fleet.Caller{Principal: "user:admin"}, fmt.Sprint(i), fleet.DigestOf(fmt.Append(nil, i))); err != nil {
			t.Fatal(err)
		}
	}
	if rows, err := s.VerifyAudit(t.Context()); err != nil || len(rows) != 3 {
		t.Fatalf("%d rows, error %v", len(rows), err)
	}
	s.exec(t, `ALTER TABLE audit DISABLE TRIGGER USER`)
	s.exec(t, `UPDATE audit SET object = 'other' WHERE number = 2`)
	if _, err := s.VerifyAudit(t.Context()); !errors.Is(err, fleet.ErrConflict) {
		t.Errorf("error %v, not ErrConflict", err)
	}
}

// Each migration runs on a database that holds data of the one before, and keeps it.
func TestMigrationsKeepData(t *testing.T) {
	t.Parallel()
	url := lab.TestDatabase(t)
	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	all, err := migrations()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), `CREATE TABLE schema_version (version int PRIMARY KEY, at timestamptz NOT NULL DEFAULT now())`); err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		if err := apply(t.Context(), conn, m); err != nil {
			t.Fatalf("%s: %v", m.name, err)
		}
		data, err := fs.ReadFile(testData, fmt.Sprintf("testdata/after_%04d.sql", m.number))
		if err != nil {
			t.Fatalf("every migration leaves data for the next one to run on: %v", err)
		}
		if _, err := conn.Exec(t.Context(), string(data)); err != nil {
			t.Fatalf("data after %s: %v", m.name, err)
		}
	}
	s, err := Open(t.Context(), Config{URL: url, Sealer: noSeal{}, KeyFingerprint: fleet.DigestOf([]byte("key")), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if o, err := s.Object(t.Context(), "Kustomization", "apps", "app"); err != nil || o.Metadata.Labels["kept"] != "yes" {
		t.Errorf("object %+v, error %v", o, err)
	}
	if n := s.count(t, `object WHERE key = 'hub/Kustomization/apps/app'`); n != 1 {
		t.Errorf("%d objects have the key of a row older than the column", n)
	}
	if n := s.count(t, `source WHERE revision = 'main@sha1:1'`); n != 1 {
		t.Errorf("%d sources are at what their upstream was at before it was theirs", n)
	}
}

func TestReplicasThatStartAtOnceMigrateOnce(t *testing.T) {
	t.Parallel()
	url := lab.TestDatabase(t)
	group, ctx := errgroup.WithContext(t.Context())
	for range 4 {
		group.Go(func() error {
			s, err := Open(ctx, Config{URL: url, Sealer: noSeal{}, KeyFingerprint: fleet.DigestOf([]byte("key")), Log: slog.New(slog.DiscardHandler), MaxConnections: 2})
			if err == nil {
				s.Close()
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
}

func TestOldPostgresIsRefused(t *testing.T) {
	t.Parallel()
	for number, want := range map[int]string{140012: "this is Postgres 14, and Flotilla needs 15", 150000: "", 180001: ""} {
		if err := checkServer(number); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%d: error %v", number, err)
		}
	}
}

func TestNewerSchemaIsRefused(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	s.exec(t, `INSERT INTO schema_version (version) VALUES (1000)`)
	if err := migrate(t.Context(), s.pool.Config().ConnConfig); err == nil || !strings.Contains(err.Error(), "start a newer hub") {
		t.Errorf("error %v", err)
	}
}

// A Tree's root keeps its leaves' files from the sweep, over all the nodes between; and when it goes, so do they.
func TestTheSweepKeepsWhatARootReaches(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	files := make([]artifact.File, 2000)
	contents := map[fleet.Digest][]byte{}
	for i := range files {
		content := fmt.Append(nil, "content ", i)
		files[i] = artifact.File{Path: fmt.Sprint("file ", i), Digest: fleet.DigestOf(content), Size: int64(len(content))}
		contents[files[i].Digest] = content
	}
	tree, err := artifact.NewTree(files)
	if err != nil {
		t.Fatal(err)
	}
	nodes := tree.Nodes()
	if err := errors.Join(s.Blobs().Put(t.Context(), contents), s.Blobs().PutNodes(t.Context(), nodes)); err != nil {
		t.Fatal(err)
	}
	root := nodes[len(nodes)-1].Digest
	s.exec(t, `INSERT INTO build (key, manifest) VALUES ('k', $1)`, root.Bytes())
	sweep := func() int {
		t.Helper()
		s.exec(t, `UPDATE blob SET used_at = now() - interval '2 days'`)
		if err := s.retain(t.Context()); err != nil {
			t.Fatal(err)
		}
		return s.count(t, `blob`)
	}
	if left := sweep(); left != len(files)+len(nodes) {
		t.Errorf("%d blobs are left of a tree in use, want %d", left, len(files)+len(nodes))
	}
	s.exec(t, `DELETE FROM build`)
	for range 5 { // each takes what nothing names any more
		if sweep() == 0 {
			return
		}
	}
	t.Error("something is left of a tree that nothing names")
}
