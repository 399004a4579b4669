package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// claimTime is how long a replica has for one look at an upstream, or one build, before another may take it. One that
// died loses its claims at once: see holdsClaims.
const claimTime = 10 * time.Minute

// replicaLocks is the class of the advisory locks by which replicas are known to be alive.
const replicaLocks = 0x68756273 // "hubs"

// claimedLive says in SQL that a row of the table of that alias is claimed by a replica that is alive.
func claimedLive(alias string) string {
	return fmt.Sprintf(`(coalesce(%[1]s.claimed_until, '-infinity') > now() AND EXISTS (SELECT FROM pg_locks l
		WHERE l.locktype = 'advisory' AND l.classid = %[2]d AND l.objid = (hashtext(%[1]s.claimed_by::text)::bigint & 4294967295)::oid))`,
		alias, replicaLocks)
}

// holdsClaims marks this replica as alive for as long as the connection lasts.
func (s *Store) holdsClaims(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, `SELECT pg_advisory_lock_shared($1, hashtext($2))`, replicaLocks, s.replica)
	return explain("mark the replica as alive", err)
}
