package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/pkg/fleet"
)

// AppStates returns what is stored of every App, by key.
func (s *Store) AppStates(ctx context.Context) (map[fleet.Key]fleet.AppState, error) {
	const query = `SELECT key, observed_generation, attempted, revision, release, reason, message, reason_since, release_since, terminal_since, coalesce(retry_at, 'infinity') <= now(), written::text::bigint FROM app`
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
			&reasonSince, &state.ReleaseSince, &terminalSince, &state.RetryDue, &state.Version)
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

// BuiltManifest returns the Manifest that a build key gave before; fleet.ErrNotFound: none is kept.
func (s *Store) BuiltManifest(ctx context.Context, key fleet.Digest) (fleet.Digest, error) {
	const query = `UPDATE build SET used_at = now() WHERE key = $1 RETURNING manifest`
	var raw []byte
	if err := s.pool.QueryRow(ctx, query, key.Bytes()).Scan(&raw); err != nil {
		return fleet.Digest{}, explain("look up a build", err)
	}
	return fleet.DigestFromBytes(raw)
}

// SaveBuild keeps the Manifest that a build key gives.
func (s *Store) SaveBuild(ctx context.Context, key, manifest fleet.Digest) error {
	const insert = `INSERT INTO build (key, manifest) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET manifest = $2, used_at = now()`
	_, err := s.pool.Exec(ctx, insert, key.Bytes(), manifest.Bytes())
	return explain("keep a build", err)
}

// Released records that an App's declaration of a generation, at a Revision, is a Release.
func (s *Store) Released(ctx context.Context, generation int64, revision fleet.Revision, release fleet.Release) (isNew bool, err error) {
	app := release.App.String()
	err = s.transact(ctx, System, action{verb: "release", object: app}, func(tx pgx.Tx) error {
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
		const upsert = `INSERT INTO app (key, observed_generation, attempted, revision, release) SELECT $1, $2, $3, $3, $4
				WHERE EXISTS (SELECT FROM object WHERE home || '/' || kind || '/' || namespace || '/' || name = $1 AND deleted_at IS NULL)
			ON CONFLICT (key) DO UPDATE SET observed_generation = $2, attempted = $3, revision = $3, release = $4, reason = '', message = '', retry_at = NULL`
		if _, err := tx.Exec(ctx, upsert, app, generation, revision, digest); err != nil {
			return explain("update the App", err)
		}
		return publish(ctx, tx, TopicApps)
	})
	return isNew, err
}

// NotReleased records why an App's declaration of a generation could not be built at a Revision. The last good Release
// stays. A retry of zero is none: the same input will never do.
func (s *Store) NotReleased(ctx context.Context, app fleet.Key, generation int64, revision fleet.Revision, reason, message string, retry time.Duration) error {
	return s.transact(ctx, System, action{verb: "record a failed build of", object: app.String()}, func(tx pgx.Tx) error {
		const upsert = `INSERT INTO app (key, observed_generation, attempted, reason, message, retry_at)
			SELECT $1, $2, $3, $4, $5, CASE WHEN $6::interval > interval '0' THEN now() + $6::interval END
				WHERE EXISTS (SELECT FROM object WHERE home || '/' || kind || '/' || namespace || '/' || name = $1 AND deleted_at IS NULL)
			ON CONFLICT (key) DO UPDATE SET observed_generation = $2, attempted = $3, reason = $4, message = $5,
				retry_at = CASE WHEN $6::interval > interval '0' THEN now() + $6::interval END`
		if _, err := tx.Exec(ctx, upsert, app.String(), generation, revision, reason, message, retry); err != nil {
			return explain("update the App", err)
		}
		return publish(ctx, tx, TopicApps)
	})
}
