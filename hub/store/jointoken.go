package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
)

// RegisterCluster declares a Cluster, when there is none of that name, and stores a join token for it, which ends all
// before it, used or not. A cluster whose spoke has enrolled is fleet.ErrExists unless rejoin is set; a Cluster that is
// there with other labels than the object has, fleet.ErrConflict. A dry run stores nothing and returns what would be.
func (s *Store) RegisterCluster(ctx context.Context, by fleet.Caller, object *resource.Object, token fleet.JoinToken, rejoin, dryRun bool) (*resource.Object, time.Time, error) {
	var stored *resource.Object
	var expires time.Time
	name := object.Metadata.Name
	err := s.transact(ctx, by, action{verb: "register", object: object.String(), dryRun: dryRun, concern: anyPlacement}, func(tx pgx.Tx) error {
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
		case len(object.Metadata.Labels) > 0 && !maps.Equal(object.Metadata.Labels, old.Metadata.Labels):
			return fmt.Errorf("%s: %w: it is there with other labels (%s): apply the Cluster to change them, or register it without --label",
				object, fleet.ErrConflict, labelText(old.Metadata.Labels))
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

func labelText(labels map[string]string) string {
	if len(labels) == 0 {
		return "none"
	}
	var pairs []string
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		pairs = append(pairs, key+"="+labels[key])
	}
	return strings.Join(pairs, ",")
}

func storeToken(ctx context.Context, tx pgx.Tx, cluster string, token fleet.JoinToken, rejoin bool) (expires time.Time, err error) {
	const query = `SELECT id::text, enrolled_at IS NOT NULL FROM cluster WHERE name = $1 FOR NO KEY UPDATE`
	var id string
	var enrolled bool
	if err := tx.QueryRow(ctx, query, cluster).Scan(&id, &enrolled); err != nil {
		return expires, explain("find Cluster/"+cluster, err)
	}
	if enrolled && !rejoin {
		return expires, fmt.Errorf("Cluster/%s: %w: its spoke has enrolled: use --rejoin to let it enrol anew", cluster, fleet.ErrExists)
	}
	if _, err := tx.Exec(ctx, `DELETE FROM join_token WHERE cluster = $1`, id); err != nil {
		return expires, explain("end the tokens of Cluster/"+cluster, err)
	}
	const insert = `INSERT INTO join_token (id, secret_hash, cluster, expires_at) VALUES ($1, $2, $3, now() + $4::interval) RETURNING expires_at`
	err = tx.QueryRow(ctx, insert, token.ID, token.SecretHash.Bytes(), id, token.TTL).Scan(&expires)
	return expires, explain("store a token of Cluster/"+cluster, err)
}

// maxTokenTries bounds guesses at a token's secret.
const maxTokenTries = 10

// RedeemToken binds a join token to one public key, and to one Kubernetes cluster where the UID of its kube-system is
// known, and returns the cluster it is for. The certificate that issue makes is in use from then on and ends all others;
// without it the token stays as it was. issue may be called again. The same key may come again until the token runs
// out, because the answer may have been lost; any other key or Kubernetes cluster, a wrong secret, and a token that has
// run out are fleet.ErrDenied, in words that do not tell which tokens exist; name is then of the cluster that the token
// is for, empty when there is no such token, and for the hub's own people alone.
func (s *Store) RedeemToken(ctx context.Context, id string, secretHash, keyHash fleet.Digest, kubeSystemUID string,
	issue func(cluster string) (fleet.Certificate, error)) (cluster, name string, err error) {
	denied := fmt.Errorf("join token: %w: it is unknown, has run out, or was used by another spoke: make a new one with `fleetctl cluster register`", fleet.ErrDenied)
	err = s.transact(ctx, System, action{verb: "redeem a join token"}, func(tx pgx.Tx) error {
		const redeem = `UPDATE join_token t SET used_at = coalesce(t.used_at, now()), key_hash = $3 FROM cluster c
			WHERE t.id = $1 AND t.secret_hash = $2 AND t.expires_at > now() AND t.tries < $4 AND c.id = t.cluster
				AND (t.used_at IS NULL OR t.key_hash = $3 AND (c.kube_system_uid = '' OR $5 IN ('', c.kube_system_uid)))
			RETURNING c.id::text, c.name, t.used_at = now()`
		var first bool
		err := tx.QueryRow(ctx, redeem, id, secretHash.Bytes(), keyHash.Bytes(), maxTokenTries, kubeSystemUID).Scan(&cluster, &name, &first)
		if errors.Is(err, pgx.ErrNoRows) {
			cluster = ""
			name, err = refuseToken(ctx, tx, id)
			return err
		}
		if err != nil {
			return explain("redeem a join token", err)
		}
		certificate, err := issue(cluster)
		if err != nil {
			return err
		}
		const enrol = `UPDATE cluster SET enrolled_at = coalesce(enrolled_at, now()),
			serial = convert_to($4, 'UTF8'), next_serial = NULL, certified_at = greatest(certified_at, $5),
			kube_system_uid = CASE WHEN $3 OR $2 <> '' THEN $2 ELSE kube_system_uid END WHERE id = $1`
		if _, err := tx.Exec(ctx, enrol, cluster, kubeSystemUID, first, certificate.Serial, certificate.IssuedAt); err != nil {
			return explain("enrol Cluster/"+name, err)
		}
		return publish(ctx, tx, TopicObjects, TopicCluster(cluster)) // an open session of another certificate has to end
	})
	if err == nil && cluster == "" {
		err = denied
	}
	return cluster, name, err
}

// refuseToken counts a try at a token and returns the name of the cluster that it is for, if there is such a token. The
// first try is an event of that cluster: more would let whoever holds the token flood its people.
func refuseToken(ctx context.Context, tx pgx.Tx, id string) (name string, err error) {
	const count = `UPDATE join_token t SET tries = t.tries + 1 FROM cluster c WHERE t.id = $1 AND c.id = t.cluster
		RETURNING c.name, t.tries, CASE WHEN t.expires_at <= now() THEN 'it has run out'
			WHEN t.used_at IS NOT NULL THEN 'it was used by another spoke' ELSE 'its secret is wrong' END`
	var tries int
	var why string
	err = tx.QueryRow(ctx, count, id).Scan(&name, &tries, &why)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil
	}
	if err != nil || tries > 1 {
		return name, explain("count a try", err)
	}
	event := fleet.FleetEvent{At: time.Now(), Warning: true, Kind: resource.Cluster.Name, Name: name, Cluster: name, Reason: "EnrolmentRefused",
		Message: "a spoke came with a join token of this cluster and was refused: " + why +
			"; if it is this cluster's own, make a new one with `fleetctl cluster register " + name + " --rejoin`"}
	if err := insertEvent(ctx, tx, event); err != nil {
		return name, err
	}
	return name, publish(ctx, tx, TopicEvents)
}
