package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

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
	adminShutdown        = "57P01"
	crashShutdown        = "57P02"
	cannotConnectNow     = "57P03"
	connectionException  = "08" // the class
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
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("%s: %w", doing, err)
	case disconnected(err):
		return fmt.Errorf("%s: %w: %w", doing, fleet.ErrUnavailable, &hidden{"the database does not answer", err})
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// disconnected reports whether the way to the database, rather than what was asked of it, made the error.
func disconnected(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code == adminShutdown || pg.Code == crashShutdown || pg.Code == cannotConnectNow || strings.HasPrefix(pg.Code, connectionException)
	}
	var connect *pgconn.ConnectError
	var network net.Error
	return errors.As(err, &connect) || errors.As(err, &network) || pgconn.SafeToRetry(err) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) ||
		errors.Is(err, context.DeadlineExceeded)
}

// hidden is an error whose text is not for clients: a driver's may hold addresses and names of accounts.
type hidden struct {
	text  string
	cause error
}

func (h *hidden) Error() string { return h.text }
func (h *hidden) Unwrap() error { return h.cause }
