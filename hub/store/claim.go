package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/pkg/fleet"
)

// claimTime is how long a replica has for one look at an upstream, unless it says that it is still at it (KeepClaims), or for
// one build, before another may take it. One that died loses its claims at once: see holdsClaims.
const claimTime = 10 * time.Minute

// KeepClaims renews this replica's claims on upstreams of the remotes that it is talking to, or is going to: a remote with
// many upstreams, or one that is slow, takes longer than a claim lasts.
func (s *Store) KeepClaims(ctx context.Context, remotes []fleet.Digest) error {
	const keep = `UPDATE upstream SET claimed_until = now() + $3::interval WHERE remote = ANY($1) AND claimed_by = $2`
	_, err := s.pool.Exec(ctx, keep, rawDigests(remotes), s.replica, claimTime)
	return explain("renew claims", err)
}

// replicaLocks is the class of the advisory locks by which replicas are known to be alive.
const replicaLocks = 0x68756273 // "hubs"

// claimedLive says in SQL that a row of the table of that alias is claimed by a replica that is alive.
func claimedLive(alias string) string {
	return fmt.Sprintf(`(coalesce(%[1]s.claimed_until, '-infinity') > now() AND EXISTS (SELECT FROM pg_locks l
		WHERE l.locktype = 'advisory' AND l.classid = %[2]d AND l.objid = %[3]s))`,
		alias, replicaLocks, replicaLock(alias+".claimed_by"))
}

// replicaLock says in SQL which advisory lock a replica holds while it lives.
func replicaLock(replica string) string {
	return `(hashtext(` + replica + `::text)::bigint & 4294967295)::oid`
}

// holdsClaims marks this replica as alive for as long as the connection lasts.
func (s *Store) holdsClaims(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, `SELECT pg_advisory_lock_shared($1, hashtext($2))`, replicaLocks, s.replica)
	return explain("mark the replica as alive", err)
}
