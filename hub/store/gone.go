package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/pkg/fleet"
)

// GoneInstances returns the selected Apps that left clusters, as far as they are remembered: an hour at least.
func (s *Store) GoneInstances(ctx context.Context, q fleet.InstanceQuery) ([]fleet.GoneInstance, error) {
	const query = `SELECT cluster, app, written::text::bigint FROM gone_instance
		WHERE app LIKE $1 AND ($2 = '' OR cluster = $2) AND written >= $3::text::xid8 ORDER BY app, cluster`
	rows, err := s.pool.Query(ctx, query, keysLike(q), q.Cluster, q.Since.String())
	if err != nil {
		return nil, explain("list gone instances", err)
	}
	gone, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (g fleet.GoneInstance, err error) {
		var app string
		if err := row.Scan(&g.Cluster, &app, &g.Version); err != nil {
			return g, err
		}
		g.App, err = fleet.ParseKey(app)
		return g, err
	})
	return gone, explain("list gone instances", err)
}

// Remembers reports whether every deletion from a horizon on is still remembered. One that is not of this database's
// past, as after it was restored to an older point, is not.
func (s *Store) Remembers(ctx context.Context, since fleet.Horizon) (remembers bool, err error) {
	// What a copy of the database brought along from its origin may lie in this one's future: it says nothing then.
	const query = `SELECT $1::text::xid8 <= n.next AND (forgotten < $1::text::xid8 OR forgotten >= n.next)
		FROM hub, (SELECT pg_snapshot_xmax(pg_current_snapshot()) AS next) n`
	err = s.pool.QueryRow(ctx, query, since.String()).Scan(&remembers)
	return remembers, explain("look for what was forgotten", err)
}
