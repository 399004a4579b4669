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
		return addAdminToken(ctx, tx, principal, hash)
	})
}

// ReplaceAdminTokens stores a bearer token of a principal and ends every other one, whosever it is.
func (s *Store) ReplaceAdminTokens(ctx context.Context, by fleet.Caller, principal string, hash fleet.Digest) (ended int64, err error) {
	act := action{verb: "add a token", object: principal, detail: "ended all others"}
	err = s.transact(ctx, by, act, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `DELETE FROM admin_token WHERE secret_hash <> $1`, hash.Bytes())
		if err != nil {
			return explain("end the tokens", err)
		}
		ended = tag.RowsAffected()
		return addAdminToken(ctx, tx, principal, hash)
	})
	return ended, err
}

func addAdminToken(ctx context.Context, tx pgx.Tx, principal string, hash fleet.Digest) error {
	const insert = `INSERT INTO admin_token (secret_hash, principal) VALUES ($1, $2) ON CONFLICT DO NOTHING`
	_, err := tx.Exec(ctx, insert, hash.Bytes(), principal)
	return explain("add a token of "+principal, err)
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
