package hub

import (
	"context"

	"flotilla.dev/flotilla/hub/store"
)

// VerifyAudit returns the rows of the audit log of the hub whose data the configuration names, oldest first. A broken
// chain of hashes is a fleet.ErrConflict that names its first broken row.
func VerifyAudit(ctx context.Context, config Config) ([]store.AuditRow, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	s, _, done, err := openBeside(ctx, config.withDefaults())
	if err != nil {
		return nil, err
	}
	defer done()
	return s.VerifyAudit(ctx)
}
