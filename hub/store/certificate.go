package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/pkg/fleet"
)

// IssuedCertificate records the newest certificate of a cluster, before it is given out: it and the one in use are
// accepted.
func (s *Store) IssuedCertificate(ctx context.Context, cluster string, certificate fleet.Certificate) error {
	return s.transact(ctx, System, action{verb: "record a certificate of cluster", object: cluster}, func(tx pgx.Tx) error {
		const issue = `UPDATE cluster SET next_serial = convert_to($2, 'UTF8'), certified_at = greatest(certified_at, $3) WHERE id = $1`
		_, err := tx.Exec(ctx, issue, cluster, certificate.Serial, certificate.IssuedAt)
		return explain("record a certificate of cluster "+cluster, err)
	})
}

// Admit says whether a certificate of a cluster, which its CA is known to have issued, is good: it is the one in use or
// the newest issued, which from now on is the one in use. Any other was replaced, which is fleet.ErrDenied; unless it
// was issued later than all that the database knows of: then the database is older than the certificate, and the
// spokes of a restored hub are let in. A deleted cluster is fleet.ErrDenied, an unknown one fleet.ErrNotFound.
func (s *Store) Admit(ctx context.Context, cluster string, certificate fleet.Certificate) error {
	const query = `SELECT serial = convert_to($2, 'UTF8') FROM cluster WHERE id = $1`
	var inUse *bool
	err := s.pool.QueryRow(ctx, query, cluster, certificate.Serial).Scan(&inUse)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		if _, err := isKnown(ctx, s.pool, cluster); err != nil {
			return err
		}
		return fmt.Errorf("cluster %s: %w", cluster, fleet.ErrNotFound)
	case err != nil:
		return explain("admit cluster "+cluster, err)
	case inUse != nil && *inUse:
		return nil
	}
	return s.promote(ctx, cluster, certificate)
}

// promote makes a certificate the one in use, if it may be.
func (s *Store) promote(ctx context.Context, cluster string, certificate fleet.Certificate) error {
	return s.transact(ctx, System, action{verb: "admit cluster", object: cluster}, func(tx pgx.Tx) error {
		// Without a serial it is a row that was made from a certificate, or one older than the spoke's enrolment.
		const promote = `UPDATE cluster SET serial = convert_to($2, 'UTF8'), next_serial = NULL,
				certified_at = greatest(certified_at, $3), enrolled_at = coalesce(enrolled_at, now())
			WHERE id = $1 AND (serial IS NULL OR certified_at < $3 OR convert_to($2, 'UTF8') IN (serial, next_serial))`
		tag, err := tx.Exec(ctx, promote, cluster, certificate.Serial, certificate.IssuedAt)
		if err != nil {
			return explain("admit cluster "+cluster, err)
		}
		if tag.RowsAffected() == 0 {
			return fmt.Errorf("cluster %s: %w: the certificate was replaced by a newer one", cluster, fleet.ErrDenied)
		}
		return publish(ctx, tx, TopicCluster(cluster)) // an open session of the one before has to end
	})
}
