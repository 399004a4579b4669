package store

import (
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"flotilla.dev/flotilla/pkg/fleet"
)

// What a driver says may hold addresses, accounts and the values of rows.
func TestDriversTextIsNotTold(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]error{
		uniqueViolation: fleet.ErrExists, foreignKeyViolation: fleet.ErrConflict, serializationFailure: fleet.ErrConflict, deadlockDetected: fleet.ErrConflict,
		readOnly: fleet.ErrUnavailable, tooManyConnections: fleet.ErrUnavailable, adminShutdown: fleet.ErrUnavailable, idleSessionTimeout: fleet.ErrUnavailable, "08006": fleet.ErrUnavailable,
		untranslatable: fleet.ErrInvalid, notInRepertoire: fleet.ErrInvalid,
	} {
		cause := &pgconn.PgError{Code: code, Message: "canary", Detail: "canary"}
		err := explain("store the thing", cause)
		if !errors.Is(err, want) || !errors.Is(err, error(cause)) || strings.Contains(err.Error(), "canary") || !strings.Contains(err.Error(), "store the thing") {
			t.Errorf("%s: %v, want %v", code, err, want)
		}
	}
}
