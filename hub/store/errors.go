package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
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
	readOnly             = "25006" // as after a failover, on the database that is the standby now
	tooManyConnections   = "53300"
	adminShutdown        = "57P01"
	crashShutdown        = "57P02"
	cannotConnectNow     = "57P03"
	idleSessionTimeout   = "57P05"
	connectionException  = "08"    // the class
	untranslatable       = "22P05" // NUL in JSON
	notInRepertoire      = "22021" // NUL, or bytes that are no UTF-8, in text
	invalidText          = "22P02" // half a surrogate pair, where it is said of JSON
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
		return fmt.Errorf("%s: %w", doing, &hidden{fleet.ErrExists, "", err})
	case errors.As(err, &pg) && (pg.Code == foreignKeyViolation || pg.Code == serializationFailure || pg.Code == deadlockDetected):
		return fmt.Errorf("%s: %w", doing, &hidden{fleet.ErrConflict, "something it depends on changed meanwhile", err})
	case errors.As(err, &pg) && isNoText(pg):
		return fmt.Errorf("%s: %w", doing, &hidden{fleet.ErrInvalid, "a text of it has the character NUL, half a surrogate pair, or bytes that are not UTF-8: take that out", err})
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("%s: %w", doing, err)
	case disconnected(err):
		return fmt.Errorf("%s: %w", doing, &hidden{fleet.ErrUnavailable, "the database does not answer", err})
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// isNoText reports whether the database refused a text that is none for it, though JSON or Go has it.
func isNoText(err *pgconn.PgError) bool {
	return err.Code == untranslatable || err.Code == notInRepertoire || err.Code == invalidText && strings.Contains(err.Message, "type json")
}

// disconnected reports whether the way to the database, rather than what was asked of it, made the error.
func disconnected(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return slices.Contains(unavailable, pg.Code) || strings.HasPrefix(pg.Code, connectionException)
	}
	var connect *pgconn.ConnectError
	var network net.Error
	return errors.As(err, &connect) || errors.As(err, &network) || pgconn.SafeToRetry(err) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) ||
		errors.Is(err, context.DeadlineExceeded)
}

// unavailable are the SQLSTATEs of a database that takes no work now.
var unavailable = []string{readOnly, tooManyConnections, adminShutdown, crashShutdown, cannotConnectNow, idleSessionTimeout}

// hidden is a sentinel of the fleet with a driver's error as its cause, whose text is not for clients: it may hold
// addresses, names of accounts and the values of rows.
type hidden struct {
	sentinel error
	text     string
	cause    error
}

func (h *hidden) Error() string {
	if h.text == "" {
		return h.sentinel.Error()
	}
	return h.sentinel.Error() + ": " + h.text
}

func (h *hidden) Unwrap() []error { return []error{h.sentinel, h.cause} }
