package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
)

// adoptionLock serialises adoptions: of two Connects of one cluster, the second must see what the first made.
const adoptionLock = 0x61646f70 // "adop"

// AdoptCluster makes a Cluster of one that has a certificate of this hub's CA and is not in the database, as after the
// database was emptied. Its name, when another cluster has it by now, gets a suffix from its id. A Cluster of that name
// that a person declared, and whose spoke has not enrolled, is this one. A name that no Cluster can have is
// fleet.ErrInvalid, a cluster that was deleted fleet.ErrDenied.
func (s *Store) AdoptCluster(ctx context.Context, cluster, name string) error {
	object, err := json.Marshal(resource.Object{APIVersion: resource.Cluster.APIVersion, Kind: resource.Cluster.Name, Metadata: resource.Metadata{Name: name}})
	if err != nil {
		return err
	}
	if _, err := resource.Decode(object); err != nil {
		return err
	}
	return s.transact(ctx, System, action{verb: "adopt", object: "Cluster/" + name, concern: anyPlacement}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, adoptionLock); err != nil {
			return explain("lock the adoptions", err)
		}
		if known, err := isKnown(ctx, tx, cluster); err != nil || known {
			return err
		}
		for _, candidate := range []string{name, suffixed(name, cluster)} {
			taken, err := adoptAs(ctx, tx, cluster, candidate)
			if err != nil {
				return explain("adopt Cluster/"+candidate, err)
			}
			if taken {
				return publish(ctx, tx, TopicObjects)
			}
		}
		return fmt.Errorf("Cluster/%s: %w", name, fleet.ErrExists)
	})
}

// isKnown reports whether the cluster is in the database; one that was deleted is fleet.ErrDenied.
func isKnown(ctx context.Context, q querier, cluster string) (bool, error) {
	const query = `SELECT EXISTS (SELECT FROM cluster WHERE id = $1), EXISTS (SELECT FROM revoked_cluster WHERE id = $1)`
	var known, revoked bool
	if err := q.QueryRow(ctx, query, cluster).Scan(&known, &revoked); err != nil {
		return false, explain("look for cluster "+cluster, err)
	}
	if revoked {
		return false, fmt.Errorf("cluster %s: %w: it was deleted from the fleet", cluster, fleet.ErrDenied)
	}
	return known, nil
}

// suffixed is the name with a part of the id, no longer than a name may be.
func suffixed(name, cluster string) string {
	const longest = 63 - 9
	return strings.TrimRight(name[:min(len(name), longest)], "-") + "-" + cluster[:8]
}

// adoptAs takes the name, when no other enrolled cluster has it, and makes the row beside it.
func adoptAs(ctx context.Context, tx pgx.Tx, cluster, name string) (taken bool, err error) {
	const (
		clearRow = `DELETE FROM cluster WHERE name = $1 AND enrolled_at IS NULL`
		// A deleted object is none: what is made now has none of its labels.
		clearObject = `DELETE FROM object WHERE home = 'hub' AND kind = 'Cluster' AND namespace = '' AND name = $1 AND deleted_at IS NOT NULL`
		insert      = `INSERT INTO object (home, kind, namespace, name, uid) VALUES ('hub', 'Cluster', '', $1, $2)
			ON CONFLICT (home, kind, namespace, name) DO UPDATE SET uid = $2, deleting_at = NULL
				WHERE NOT EXISTS (SELECT FROM cluster c WHERE c.name = $1)`
		insertRow = `INSERT INTO cluster (id, name, enrolled_at) VALUES ($1, $2, now())`
	)
	for _, clear := range []string{clearRow, clearObject} {
		if _, err := tx.Exec(ctx, clear, name); err != nil {
			return false, err
		}
	}
	tag, err := tx.Exec(ctx, insert, name, cluster)
	if err != nil || tag.RowsAffected() == 0 {
		return false, err
	}
	_, err = tx.Exec(ctx, insertRow, cluster, name)
	return true, err
}
