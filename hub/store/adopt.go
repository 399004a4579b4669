package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/pkg/fleet"
)

// AdoptCluster makes a Cluster of one that has a certificate of this hub's CA and is not in the database, as after the
// database was emptied. Its name, when another cluster has it by now, gets a suffix from its id.
func (s *Store) AdoptCluster(ctx context.Context, cluster, name string) error {
	return s.transact(ctx, System, action{verb: "adopt", object: "Cluster/" + name}, func(tx pgx.Tx) error {
		const insert = `INSERT INTO object (home, kind, namespace, name, uid) VALUES ('hub', 'Cluster', '', $1, $2)
			ON CONFLICT (home, kind, namespace, name) DO UPDATE SET uid = $2, deleted_at = NULL, deleting_at = NULL
				WHERE object.deleted_at IS NOT NULL OR NOT EXISTS (SELECT FROM cluster c WHERE c.id = object.uid AND c.enrolled_at IS NOT NULL)`
		for _, candidate := range []string{name, name + "-" + cluster[:8]} {
			if _, err := tx.Exec(ctx, `DELETE FROM cluster WHERE name = $1 AND enrolled_at IS NULL`, candidate); err != nil {
				return explain("adopt Cluster/"+candidate, err)
			}
			tag, err := tx.Exec(ctx, insert, candidate, cluster)
			if err != nil {
				return explain("adopt Cluster/"+candidate, err)
			}
			if tag.RowsAffected() == 0 {
				continue
			}
			const row = `INSERT INTO cluster (id, name, enrolled_at) VALUES ($1, $2, now()) ON CONFLICT DO NOTHING`
			if _, err := tx.Exec(ctx, row, cluster, candidate); err != nil {
				return explain("adopt Cluster/"+candidate, err)
			}
			return publish(ctx, tx, TopicObjects)
		}
		return fmt.Errorf("Cluster/%s: %w", name, fleet.ErrExists)
	})
}
