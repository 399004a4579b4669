package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/pkg/fleet"
)

// DesiredState allots the next (version, digest) when the cluster's Assignments changed, and returns them with their
// name; nil where they are those of the state held. Only the newest session may, and only while its certificate is the
// one in use: any other is fleet.ErrConflict. A cluster in safe mode gets nothing.
func (s *Store) DesiredState(ctx context.Context, session fleet.Session, held fleet.StateID) (desired fleet.Desired, id fleet.StateID, safeMode string, err error) {
	// Mostly nothing changed, which is told without reading an Assignment or holding a row.
	var known state
	err = s.snapshot(ctx, "read the state of cluster "+session.Cluster, func(tx pgx.Tx) error {
		if known, err = readState(ctx, tx, session, ""); err != nil || known.safeMode != "" || known.changed || known.id == held {
			return err
		}
		desired, _, err = readDesired(ctx, tx, session.Cluster)
		return err
	})
	if err != nil || !known.changed || known.safeMode != "" {
		return desired, known.id, known.safeMode, err
	}
	err = s.transact(ctx, System, action{verb: "read the state of cluster", object: session.Cluster}, func(tx pgx.Tx) error {
		if known, err = readState(ctx, tx, session, " FOR NO KEY UPDATE"); err != nil || known.safeMode != "" {
			return err
		}
		var assigned int64
		if desired, assigned, err = readDesired(ctx, tx, session.Cluster); err != nil {
			return err
		}
		return known.allot(ctx, tx, session, fleet.DesiredDigest(desired.Digests()), assigned)
	})
	return desired, known.id, known.safeMode, err
}

// state is what was allotted to a cluster last.
type state struct {
	id       fleet.StateID
	safeMode string
	// changed says that the Assignments were others when it was read.
	changed bool
}

// fingerprint of an Assignment in SQL: each change gives it another generation. That of a cluster's is all of theirs.
const fingerprint = `hashtextextended(app, generation)`

func readState(ctx context.Context, tx pgx.Tx, session fleet.Session, lock string) (known state, err error) {
	query := `SELECT epoch, version, digest, safe_mode, version = 0 OR assigned IS DISTINCT FROM
			(SELECT coalesce(bit_xor(` + fingerprint + `), 0) FROM assignment WHERE cluster = $1) FROM cluster
		WHERE id = $1 AND session = $2 AND coalesce(serial, '') = convert_to($3, 'UTF8')` + lock
	var digest []byte
	err = tx.QueryRow(ctx, query, session.Cluster, session.Number, session.Serial).
		Scan(&known.id.Epoch, &known.id.Version, &digest, &known.safeMode, &known.changed)
	if errors.Is(err, pgx.ErrNoRows) {
		return known, fmt.Errorf("session %d of cluster %s: %w: it is not the newest, or not of the certificate in use", session.Number, session.Cluster, fleet.ErrConflict)
	}
	if err != nil {
		return known, explain("read the state", err)
	}
	known.id.Digest, err = fleet.DigestFromBytes(digest)
	return known, err
}

// readDesired returns the Assignments there are at one moment, and their fingerprint.
func readDesired(ctx context.Context, tx pgx.Tx, cluster string) (desired fleet.Desired, assigned int64, err error) {
	rows, err := tx.Query(ctx, `SELECT app, payload, `+fingerprint+` FROM assignment WHERE cluster = $1`, cluster)
	if err != nil {
		return nil, 0, explain("read the Assignments", err)
	}
	defer rows.Close()
	desired = fleet.Desired{}
	for rows.Next() {
		var app string
		var payload []byte
		var one int64
		if err := rows.Scan(&app, &payload, &one); err != nil {
			return nil, 0, explain("read the Assignments", err)
		}
		desired[app] = payload
		assigned ^= one
	}
	return desired, assigned, explain("read the Assignments", rows.Err())
}

// allot gives Assignments of that digest and fingerprint a version of their own, unless they are what they were. Others
// may be there by now.
func (s *state) allot(ctx context.Context, tx pgx.Tx, session fleet.Session, digest fleet.Digest, assigned int64) error {
	anew := s.id.Version == 0 || s.id.Digest != digest
	if anew {
		s.id.Version, s.id.Digest = s.id.Version+1, digest
	}
	const update = `UPDATE cluster SET version = $2, digest = $3, assigned = $4 WHERE id = $1`
	if _, err := tx.Exec(ctx, update, session.Cluster, s.id.Version, s.id.Digest.Bytes(), assigned); err != nil || !anew {
		return explain("allot a version", err)
	}
	const issue = `INSERT INTO issued_state (cluster, epoch, version, digest) VALUES ($1, $2, $3, $4)`
	_, err := tx.Exec(ctx, issue, session.Cluster, s.id.Epoch, s.id.Version, s.id.Digest.Bytes())
	return explain("record an issued state", err)
}
