package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
)

// RegisterCluster declares a Cluster, when there is none of that name, and stores a join token for it, which ends the
// unused ones before. A cluster whose spoke has enrolled is fleet.ErrExists unless rejoin is set.
func (s *Store) RegisterCluster(ctx context.Context, by fleet.Caller, object *resource.Object, token fleet.JoinToken, rejoin bool) (*resource.Object, time.Time, error) {
	var stored *resource.Object
	var expires time.Time
	name := object.Metadata.Name
	err := s.transact(ctx, by, action{verb: "register", object: object.String(), placing: true}, func(tx pgx.Tx) error {
		old, err := lockObject(ctx, tx, object.Kind, "", name)
		switch {
		case errors.Is(err, fleet.ErrNotFound):
			if _, err := s.writeObject(ctx, tx, nil, object); err != nil {
				return err
			}
		case err != nil:
			return err
		case old.Metadata.DeletionTimestamp != nil:
			return fmt.Errorf("%s: %w: it is being deleted", object, fleet.ErrConflict)
		}
		if err := ensureCluster(ctx, tx, name); err != nil {
			return err
		}
		if expires, err = storeToken(ctx, tx, name, token, rejoin); err != nil {
			return err
		}
		if stored, err = getObject(ctx, tx, object.Kind, "", name); err != nil {
			return err
		}
		return publish(ctx, tx, TopicObjects)
	})
	return stored, expires, err
}

func storeToken(ctx context.Context, tx pgx.Tx, cluster string, token fleet.JoinToken, rejoin bool) (expires time.Time, err error) {
	const query = `SELECT id::text, enrolled_at IS NOT NULL FROM cluster WHERE name = $1 FOR UPDATE`
	var id string
	var enrolled bool
	if err := tx.QueryRow(ctx, query, cluster).Scan(&id, &enrolled); err != nil {
		return expires, explain("find Cluster/"+cluster, err)
	}
	if enrolled && !rejoin {
		return expires, fmt.Errorf("Cluster/%s: %w: its spoke has enrolled: use --rejoin to let it enrol anew", cluster, fleet.ErrExists)
	}
	if _, err := tx.Exec(ctx, `DELETE FROM join_token WHERE cluster = $1 AND used_at IS NULL`, id); err != nil {
		return expires, explain("end the tokens of Cluster/"+cluster, err)
	}
	const insert = `INSERT INTO join_token (id, secret_hash, cluster, expires_at) VALUES ($1, $2, $3, now() + $4::interval) RETURNING expires_at`
	err = tx.QueryRow(ctx, insert, token.ID, token.SecretHash.Bytes(), id, token.TTL).Scan(&expires)
	return expires, explain("store a token of Cluster/"+cluster, err)
}

// maxTokenTries bounds guesses at a token's secret.
const maxTokenTries = 10

// RedeemToken binds a join token to one public key and returns the cluster it is for. The same key may come again
// until the token runs out, because the answer may have been lost; any other key, a wrong secret, and a token that has
// run out are fleet.ErrDenied, in words that do not tell which tokens exist.
func (s *Store) RedeemToken(ctx context.Context, id string, secretHash, keyHash fleet.Digest, kubeSystemUID string) (cluster, name string, err error) {
	denied := fmt.Errorf("join token: %w: it is unknown, has run out, or was used by another spoke: make a new one with `fleetctl cluster register`", fleet.ErrDenied)
	err = s.transact(ctx, System, action{verb: "redeem a join token"}, func(tx pgx.Tx) error {
		const redeem = `UPDATE join_token t SET used_at = coalesce(t.used_at, now()), key_hash = $3 FROM cluster c
			WHERE t.id = $1 AND t.secret_hash = $2 AND t.expires_at > now() AND t.tries < $4 AND c.id = t.cluster
				AND (t.used_at IS NULL OR t.key_hash = $3)
			RETURNING c.id::text, c.name`
		err := tx.QueryRow(ctx, redeem, id, secretHash.Bytes(), keyHash.Bytes(), maxTokenTries).Scan(&cluster, &name)
		if errors.Is(err, pgx.ErrNoRows) {
			cluster = ""
			_, err := tx.Exec(ctx, `UPDATE join_token SET tries = tries + 1 WHERE id = $1`, id)
			return explain("count a try", err)
		}
		if err != nil {
			return explain("redeem a join token", err)
		}
		const enrol = `UPDATE cluster SET enrolled_at = coalesce(enrolled_at, now()), kube_system_uid = $2 WHERE id = $1`
		if _, err := tx.Exec(ctx, enrol, cluster, kubeSystemUID); err != nil {
			return explain("enrol Cluster/"+name, err)
		}
		return publish(ctx, tx, TopicObjects)
	})
	if err == nil && cluster == "" {
		err = denied
	}
	return cluster, name, err
}

// IssuedCertificate records the newest certificate of a cluster: it and the one in use are accepted. A first one, and
// one issued for a token, is in use at once and ends all others.
func (s *Store) IssuedCertificate(ctx context.Context, cluster, serial string, enrolled bool) error {
	const issue = `UPDATE cluster SET next_serial = CASE WHEN $3 THEN NULL ELSE convert_to($2, 'UTF8') END,
		serial = CASE WHEN $3 THEN convert_to($2, 'UTF8') ELSE serial END WHERE id = $1`
	_, err := s.pool.Exec(ctx, issue, cluster, serial, enrolled)
	return explain("record a certificate of cluster "+cluster, err)
}

// Admit says whether a certificate of a cluster is good: its serial is the one in use or the newest issued, which from
// now on is the one in use. A revoked one is fleet.ErrDenied, an unknown cluster fleet.ErrNotFound.
func (s *Store) Admit(ctx context.Context, cluster, serial string) (name string, err error) {
	const query = `SELECT c.name, c.serial = convert_to($2, 'UTF8'), c.next_serial = convert_to($2, 'UTF8'), c.serial IS NULL FROM cluster c WHERE c.id = $1`
	var current, next *bool
	var none bool
	err = s.pool.QueryRow(ctx, query, cluster, serial).Scan(&name, &current, &next, &none)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", s.whyUnknown(ctx, cluster)
	}
	switch {
	case err != nil:
		return "", explain("admit cluster "+cluster, err)
	case none, next != nil && *next: // a row made from a certificate, or the next certificate's first use
		const promote = `UPDATE cluster SET serial = convert_to($2, 'UTF8'), next_serial = NULL WHERE id = $1`
		_, err := s.pool.Exec(ctx, promote, cluster, serial)
		return name, explain("admit cluster "+cluster, err)
	case current != nil && *current:
		return name, nil
	}
	return "", fmt.Errorf("Cluster/%s: %w: the certificate was replaced by a newer one", name, fleet.ErrDenied)
}

func (s *Store) whyUnknown(ctx context.Context, cluster string) error {
	var revoked bool
	if err := s.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM revoked_cluster WHERE id = $1)`, cluster).Scan(&revoked); err != nil {
		return explain("admit cluster "+cluster, err)
	}
	if revoked {
		return fmt.Errorf("cluster %s: %w: it was deleted from the fleet", cluster, fleet.ErrDenied)
	}
	return fmt.Errorf("cluster %s: %w", cluster, fleet.ErrNotFound)
}

// AdoptCluster makes a Cluster of one that has a certificate of this hub's CA and is not in the database, as after the
// database was emptied. Its name, when another cluster has it by now, gets a suffix from its id.
func (s *Store) AdoptCluster(ctx context.Context, cluster, name string) error {
	return s.transact(ctx, System, action{verb: "adopt", object: "Cluster/" + name, placing: true}, func(tx pgx.Tx) error {
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

// AddAdminToken stores a bearer token of a principal.
func (s *Store) AddAdminToken(ctx context.Context, by fleet.Caller, principal string, hash fleet.Digest) error {
	return s.transact(ctx, by, action{verb: "add a token", object: principal}, func(tx pgx.Tx) error {
		const insert = `INSERT INTO admin_token (secret_hash, principal) VALUES ($1, $2) ON CONFLICT DO NOTHING`
		_, err := tx.Exec(ctx, insert, hash.Bytes(), principal)
		return explain("add a token of "+principal, err)
	})
}

// HasAdminToken says whether anybody can use the admin API.
func (s *Store) HasAdminToken(ctx context.Context) (found bool, err error) {
	err = s.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM admin_token)`).Scan(&found)
	return found, explain("look for a token", err)
}

// Principal returns whose bearer token has that hash; fleet.ErrUnauthenticated: nobody's.
func (s *Store) Principal(ctx context.Context, hash fleet.Digest) (string, error) {
	var principal string
	err := s.pool.QueryRow(ctx, `SELECT principal FROM admin_token WHERE secret_hash = $1`, hash.Bytes()).Scan(&principal)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", fmt.Errorf("bearer token: %w: it is not known to this hub", fleet.ErrUnauthenticated)
	}
	return principal, explain("look up a token", err)
}
