package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"flotilla.dev/flotilla/pkg/fleet"
)

// SQLSTATEs that carry a decision.
const (
	uniqueViolation      = "23505"
	foreignKeyViolation  = "23503"
	serializationFailure = "40001"
	deadlockDetected     = "40P01"
)

// explain wraps err with what was being done and turns what the database says into the fleet's sentinels. Nil stays
// nil.
func explain(doing string, err error) error {
	var pg *pgconn.PgError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, pgx.ErrNoRows):
		return fmt.Errorf("%s: %w", doing, fleet.ErrNotFound)
	case errors.As(err, &pg) && pg.Code == uniqueViolation:
		return fmt.Errorf("%s: %w: %w", doing, fleet.ErrExists, err)
	case errors.As(err, &pg) && (pg.Code == foreignKeyViolation || pg.Code == serializationFailure || pg.Code == deadlockDetected):
		return fmt.Errorf("%s: %w: %w", doing, fleet.ErrConflict, err)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: %w", doing, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}
