package store

import (
	"context"
	"errors"
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
	app := release.App.String()
	err = s.transact(ctx, System, action{verb: "release", object: app}, func(tx pgx.Tx) error {
		if err := lockApp(ctx, tx, release.App, generation, revision); err != nil {
			return err
		}
		digest := release.Digest().Bytes()
		const insert = `INSERT INTO release (digest, app, content, manifest) VALUES ($1, $2, $3, $4)
			ON CONFLICT (digest) DO UPDATE SET used_at = now()`
		if _, err := tx.Exec(ctx, insert, digest, app, release.Encode(), release.Manifest.Bytes()); err != nil {
			return explain("store the Release", err)
		}
		const at = `INSERT INTO app_revision (app, revision, release) VALUES ($1, $2, $3)
			ON CONFLICT (app, revision) DO UPDATE SET release = $3, at = now()`
		if _, err := tx.Exec(ctx, at, app, revision, digest); err != nil {
			return explain("record the Revision", err)
		}
		var before []byte
		if err := tx.QueryRow(ctx, `SELECT release FROM app WHERE key = $1 FOR UPDATE`, app).Scan(&before); err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return explain("read the App", err)
		}
		isNew = string(before) != string(digest)
		const upsert = `INSERT INTO app (key, observed_generation, attempted, revision, release) VALUES ($1, $2, $3, $3, $4)
			ON CONFLICT (key) DO UPDATE SET observed_generation = $2, attempted = $3, revision = $3, release = $4, reason = '', message = ''`
		if _, err := tx.Exec(ctx, upsert, app, generation, revision, digest); err != nil {
			return explain("update the App", err)
		}
		return publish(ctx, tx, TopicApps)
	})
	return isNew, err
}

// NotReleased records why an App cannot be built from what was tried; the last good Release stays. It is
// fleet.ErrConflict as in Released.
func (s *Store) NotReleased(ctx context.Context, app fleet.Key, failure fleet.BuildFailure) error {
	return s.transact(ctx, System, action{verb: "record a failed build of", object: app.String()}, func(tx pgx.Tx) error {
		if err := lockApp(ctx, tx, app, failure.Generation, failure.Revision); err != nil {
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

// lockApp holds a declared App until the transaction ends, so that outcomes of its builds are recorded one by one, and
// refuses that of a build from what is no longer there: a slow replica's must not take the place of a newer one's.
func lockApp(ctx context.Context, tx pgx.Tx, app fleet.Key, generation int64, revision fleet.Revision) error {
	const declared = `SELECT FROM object WHERE key = $1 AND generation = $2 AND deleted_at IS NULL FOR NO KEY UPDATE`
	tag, err := tx.Exec(ctx, declared, app.String(), generation)
	if err != nil {
		return explain("lock "+app.String(), err)
	}
	if tag.RowsAffected() == 0 {
		return fmt.Errorf("%s: %w: generation %d of it is not declared any more", app, fleet.ErrConflict, generation)
	}
	const query = `SELECT s.revision FROM object o JOIN source s
			ON s.kind = o.spec -> 'sourceRef' ->> 'kind' AND s.namespace = o.namespace AND s.name = o.spec -> 'sourceRef' ->> 'name'
		WHERE o.key = $1`
	var present fleet.Revision
	if err := tx.QueryRow(ctx, query, app.String()).Scan(&present); err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return explain("read the Source of "+app.String(), err)
	}
	if present != "" && present != revision {
		return fmt.Errorf("%s: %w: its Source is at %s, not %q, now", app, fleet.ErrConflict, present, revision)
	}
	return nil
}
