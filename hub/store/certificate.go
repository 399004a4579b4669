package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/pkg/fleet"
)

// IssuedCertificate records the newest certificate of a cluster: it and the one in use are accepted. A first one, and
// one issued for a token, is in use at once and ends all others.
func (s *Store) IssuedCertificate(ctx context.Context, cluster, serial string, enrolled bool) error {
	const issue = `UPDATE cluster SET next_serial = CASE WHEN $3 THEN NULL ELSE convert_to($2, 'UTF8') END,
		serial = CASE WHEN $3 THEN convert_to($2, 'UTF8') ELSE serial END WHERE id = $1`
	_, err := s.pool.Exec(ctx, issue, cluster, serial, enrolled)
	return explain("record a certificate of cluster "+cluster, err)
}

// Admit says whether a certificate of a cluster is good: its serial is the one in use or the newest issued, which from
// now on is the one in use. A revoked one is fleet.ErrDenied, an unknown cluster fleet.ErrNotFound.
func (s *Store) Admit(ctx context.Context, cluster, serial string) (name string, err error) {
	const query = `SELECT c.name, c.serial = convert_to($2, 'UTF8'), c.next_serial = convert_to($2, 'UTF8'), c.serial IS NULL FROM cluster c WHERE c.id = $1`
	var current, next *bool
	var none bool
	err = s.pool.QueryRow(ctx, query, cluster, serial).Scan(&name, &current, &next, &none)
	if errors.Is(err, pgx.ErrNoRows) {
		if _, err := isKnown(ctx, s.pool, cluster); err != nil {
			return "", err
		}
		return "", fmt.Errorf("cluster %s: %w", cluster, fleet.ErrNotFound)
	}
	switch {
	case err != nil:
		return "", explain("admit cluster "+cluster, err)
	case none, next != nil && *next: // a row made from a certificate, or the next certificate's first use
		const promote = `UPDATE cluster SET serial = convert_to($2, 'UTF8'), next_serial = NULL WHERE id = $1`
		_, err := s.pool.Exec(ctx, promote, cluster, serial)
		return name, explain("admit cluster "+cluster, err)
	case current != nil && *current:
		return name, nil
	}
	return "", fmt.Errorf("Cluster/%s: %w: the certificate was replaced by a newer one", name, fleet.ErrDenied)
}
