package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/pkg/fleet"
)

// AddAdminToken stores a bearer token of a principal.
func (s *Store) AddAdminToken(ctx context.Context, by fleet.Caller, principal string, hash fleet.Digest) error {
	return s.transact(ctx, by, action{verb: "add a token", object: principal}, func(tx pgx.Tx) error {
		const insert = `INSERT INTO admin_token (secret_hash, principal) VALUES ($1, $2) ON CONFLICT DO NOTHING`
		_, err := tx.Exec(ctx, insert, hash.Bytes(), principal)
		return explain("add a token of "+principal, err)
	})
}

// HasAdminToken says whether anybody can use the admin API.
func (s *Store) HasAdminToken(ctx context.Context) (found bool, err error) {
	err = s.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM admin_token)`).Scan(&found)
	return found, explain("look for a token", err)
}

// Principal returns whose bearer token has that hash; fleet.ErrUnauthenticated: nobody's.
func (s *Store) Principal(ctx context.Context, hash fleet.Digest) (string, error) {
	var principal string
	err := s.pool.QueryRow(ctx, `SELECT principal FROM admin_token WHERE secret_hash = $1`, hash.Bytes()).Scan(&principal)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", fmt.Errorf("bearer token: %w: it is not known to this hub", fleet.ErrUnauthenticated)
	}
	return principal, explain("look up a token", err)
}
