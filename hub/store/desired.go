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
		desired, err = readDesired(ctx, tx, session.Cluster)
		return err
	})
	if err != nil || !known.changed || known.safeMode != "" {
		return desired, known.id, known.safeMode, err
	}
	err = s.transact(ctx, System, action{verb: "read the state of cluster", object: session.Cluster}, func(tx pgx.Tx) error {
		if known, err = readState(ctx, tx, session, " FOR NO KEY UPDATE"); err != nil || known.safeMode != "" {
			return err
		}
		if desired, err = readDesired(ctx, tx, session.Cluster); err != nil || !known.changed {
			return err
		}
		return known.allot(ctx, tx, session, fleet.DesiredDigest(desired.Digests()))
	})
	return desired, known.id, known.safeMode, err
}

// state is what was allotted to a cluster last.
type state struct {
	id       fleet.StateID
	safeMode string
	// changed says that the Assignments are others by now.
	changed bool
}

// assigned is a fingerprint of a cluster's Assignments in SQL: each change of one gives it another generation.
const assigned = `(SELECT coalesce(bit_xor(hashtextextended(app, generation)), 0) FROM assignment WHERE cluster = $1)`

func readState(ctx context.Context, tx pgx.Tx, session fleet.Session, lock string) (known state, err error) {
	query := `SELECT epoch, version, digest, safe_mode, version = 0 OR assigned IS DISTINCT FROM ` + assigned + ` FROM cluster
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

func readDesired(ctx context.Context, tx pgx.Tx, cluster string) (fleet.Desired, error) {
	rows, err := tx.Query(ctx, `SELECT app, payload FROM assignment WHERE cluster = $1`, cluster)
	if err != nil {
		return nil, explain("read the Assignments", err)
	}
	defer rows.Close()
	desired := fleet.Desired{}
	for rows.Next() {
		var app string
		var payload []byte
		if err := rows.Scan(&app, &payload); err != nil {
			return nil, explain("read the Assignments", err)
		}
		desired[app] = payload
	}
	return desired, explain("read the Assignments", rows.Err())
}

// allot gives the Assignments that are there now, of that digest, a version of their own, unless they are what they were.
func (s *state) allot(ctx context.Context, tx pgx.Tx, session fleet.Session, digest fleet.Digest) error {
	anew := s.id.Version == 0 || s.id.Digest != digest
	if anew {
		s.id.Version, s.id.Digest = s.id.Version+1, digest
	}
	const update = `UPDATE cluster SET version = $2, digest = $3, assigned = ` + assigned + ` WHERE id = $1`
	if _, err := tx.Exec(ctx, update, session.Cluster, s.id.Version, s.id.Digest.Bytes()); err != nil || !anew {
		return explain("allot a version", err)
	}
	const issue = `INSERT INTO issued_state (cluster, epoch, version, digest) VALUES ($1, $2, $3, $4)`
	_, err := tx.Exec(ctx, issue, session.Cluster, s.id.Epoch, s.id.Version, s.id.Digest.Bytes())
	return explain("record an issued state", err)
}
