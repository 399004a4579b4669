package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/pkg/fleet"
)

// AppStates returns what is stored of every App, by key.
func (s *Store) AppStates(ctx context.Context) (map[fleet.Key]fleet.AppState, error) {
	const query = `SELECT key, observed_generation, attempted, revision, release, reason, message, handled_reconcile_at,
		reason_since, release_since, terminal_since, written::text::bigint FROM app`
	rows, err := s.pool.Query(ctx, query)
	if err != nil {
		return nil, explain("read the Apps", err)
	}
	defer rows.Close()
	states := map[fleet.Key]fleet.AppState{}
	for rows.Next() {
		var text string
		var state fleet.AppState
		var release []byte
		var reasonSince, terminalSince *time.Time
		err := rows.Scan(&text, &state.ObservedGeneration, &state.Attempted, &state.Revision, &release, &state.Reason, &state.Message,
			&state.HandledReconcileAt, &reasonSince, &state.ReleaseSince, &terminalSince, &state.Version)
		if err != nil {
			return nil, explain("read the Apps", err)
		}
		state.ReasonSince, state.TerminalSince = orZero(reasonSince), orZero(terminalSince)
		key, err := fleet.ParseKey(text)
		if err != nil {
			return nil, err
		}
		if state.Release, err = fleet.DigestFromBytes(release); err != nil {
			return nil, err
		}
		states[key] = state
	}
	return states, explain("read the Apps", rows.Err())
}

// Released records that an App's declaration of a generation, at a Revision, is a Release. When the App was declared
// anew meanwhile, or its Source has come to another Revision, that is fleet.ErrConflict, and nothing is recorded.
func (s *Store) Released(ctx context.Context, generation int64, revision fleet.Revision, release fleet.Release) (isNew bool, err error) {
	recorded, err := s.ReleasedAll(ctx, []fleet.Built{{Generation: generation, Revision: revision, Release: release}})
	if err != nil {
		return false, err
	}
	isNew, current := recorded[release.App]
	if !current {
		return false, fmt.Errorf("release %s: %w: it was built from what is no longer there", release.App, fleet.ErrConflict)
	}
	return isNew, nil
}

// ReleasedAll records what several Apps came to, at most one of each, in one transaction: it says of each whether its
// Release is new for it. An App that was declared anew meanwhile, or whose Source has come to another Revision, or whose
// state is not the one that was seen, is left out.
func (s *Store) ReleasedAll(ctx context.Context, built []fleet.Built) (isNew map[fleet.Key]bool, err error) {
	err = s.transact(ctx, System, action{verb: "release"}, func(tx pgx.Tx) error {
		current, err := s.lockApps(ctx, tx, built)
		if err != nil {
			return err
		}
		isNew = make(map[fleet.Key]bool, len(current))
		var rows releaseRows
		for _, b := range built {
			before, is := current[b.Release.App]
			if !is || b.Seen != nil && *b.Seen != before.version {
				continue
			}
			isNew[b.Release.App] = before.release != b.Release.Digest()
			rows.add(b)
		}
		if len(rows.apps) == 0 {
			return nil
		}
		if err := rows.write(ctx, tx); err != nil {
			return err
		}
		return publish(ctx, tx, TopicApps)
	})
	return isNew, err
}

// releaseRows are what the statements that record Releases take, a column each.
type releaseRows struct {
	apps        []string
	generations []int64
	revisions   []string
	digests     [][]byte
	contents    [][]byte
	manifests   [][]byte
}

func (r *releaseRows) add(b fleet.Built) {
	r.apps = append(r.apps, b.Release.App.String())
	r.generations = append(r.generations, b.Generation)
	r.revisions = append(r.revisions, string(b.Revision))
	r.digests = append(r.digests, b.Release.Digest().Bytes())
	r.contents = append(r.contents, b.Release.Encode())
	r.manifests = append(r.manifests, b.Release.Manifest.Bytes())
}

func (r *releaseRows) write(ctx context.Context, tx pgx.Tx) error {
	const insert = `INSERT INTO release (digest, app, content, manifest) SELECT * FROM unnest($1::bytea[], $2::text[], $3::bytea[], $4::bytea[])
		ON CONFLICT (digest) DO UPDATE SET used_at = now()`
	if _, err := tx.Exec(ctx, insert, r.digests, r.apps, r.contents, r.manifests); err != nil {
		return explain("store the Releases", err)
	}
	const at = `INSERT INTO app_revision (app, revision, release) SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[])
		ON CONFLICT (app, revision) DO UPDATE SET release = excluded.release, at = now()`
	if _, err := tx.Exec(ctx, at, r.apps, r.revisions, r.digests); err != nil {
		return explain("record the Revisions", err)
	}
	const upsert = `INSERT INTO app AS a (key, observed_generation, attempted, revision, release)
		SELECT key, generation, revision, revision, release FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bytea[]) AS r (key, generation, revision, release)
		ON CONFLICT (key) DO UPDATE SET observed_generation = excluded.observed_generation, attempted = excluded.attempted,
			revision = excluded.revision, release = excluded.release, reason = '', message = ''`
	_, err := tx.Exec(ctx, upsert, r.apps, r.generations, r.revisions, r.digests)
	return explain("update the Apps", err)
}

// NotReleased records why an App cannot be built from what was tried; the last good Release stays. It is
// fleet.ErrConflict as in Released.
func (s *Store) NotReleased(ctx context.Context, app fleet.Key, failure fleet.BuildFailure) error {
	return s.transact(ctx, System, action{verb: "record a failed build of", object: app.String()}, func(tx pgx.Tx) error {
		if err := s.lockApp(ctx, tx, app, failure.Generation, failure.Revision); err != nil {
			return err
		}
		const upsert = `INSERT INTO app (key, observed_generation, attempted, reason, message, handled_reconcile_at) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (key) DO UPDATE SET observed_generation = $2, attempted = $3, reason = $4, message = $5, handled_reconcile_at = $6`
		if _, err := tx.Exec(ctx, upsert, app.String(), failure.Generation, failure.Revision, failure.Reason, failure.Message, failure.RequestedAt); err != nil {
			return explain("update the App", err)
		}
		return publish(ctx, tx, TopicApps)
	})
}

// standing is what is stored of an App whose outcome is to be recorded.
type standing struct {
	release fleet.Digest
	version uint64
}

// lockApps holds declared Apps until the transaction ends, so that outcomes of their builds are recorded one by one, and
// leaves those out whose outcome is of what is no longer there: a slow replica's must not take the place of a newer one's.
func (s *Store) lockApps(ctx context.Context, tx pgx.Tx, built []fleet.Built) (map[fleet.Key]standing, error) {
	var rows releaseRows
	for _, b := range built {
		rows.add(b)
	}
	const declared = `SELECT o.key FROM object o JOIN unnest($1::text[], $2::bigint[]) AS b (key, generation) USING (key)
		WHERE o.generation = b.generation AND o.deleted_at IS NULL ORDER BY o.key FOR NO KEY UPDATE OF o`
	locked, err := tx.Query(ctx, declared, rows.apps, rows.generations)
	if err != nil {
		return nil, explain("lock the Apps", err)
	}
	keys, err := pgx.CollectRows(locked, pgx.RowTo[string])
	if err != nil {
		return nil, explain("lock the Apps", err)
	}
	// A statement of its own: it sees what whoever held the locks before stored.
	const query = `SELECT o.key, a.release, coalesce(a.written::text::bigint, 0)
		FROM unnest($1::text[], $2::text[]) AS b (key, revision) JOIN object o USING (key)
			LEFT JOIN source s ON ` + isSource + ` AND ($3 OR s.namespace = o.namespace)
			LEFT JOIN app a ON a.key = o.key
		WHERE o.key = ANY($4) AND coalesce(s.revision, '') IN ('', b.revision)`
	found, err := tx.Query(ctx, query, rows.apps, rows.revisions, s.crossNamespace, keys)
	if err != nil {
		return nil, explain("read the Apps", err)
	}
	current := map[fleet.Key]standing{}
	var text string
	var release []byte
	var now standing
	_, err = pgx.ForEachRow(found, []any{&text, &release, &now.version}, func() error {
		key, err := fleet.ParseKey(text)
		if err != nil {
			return err
		}
		now.release, err = fleet.DigestFromBytes(release)
		current[key] = now
		return err
	})
	return current, explain("read the Apps", err)
}

// lockApp is lockApps for one App, whose outcome is fleet.ErrConflict when it is left out.
func (s *Store) lockApp(ctx context.Context, tx pgx.Tx, app fleet.Key, generation int64, revision fleet.Revision) error {
	current, err := s.lockApps(ctx, tx, []fleet.Built{{Generation: generation, Revision: revision, Release: fleet.Release{App: app}}})
	if _, is := current[app]; err == nil && !is {
		err = fmt.Errorf("%s: %w: generation %d of it is not declared any more, or its Source is not at %q", app, fleet.ErrConflict, generation, revision)
	}
	return err
}
