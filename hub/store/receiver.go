package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/resource"
)

// reasonTokenNotFound is why a Receiver has no path, in Flux's word.
const reasonTokenNotFound = "TokenNotFound"

// tokenKey is the key of a Receiver's Secret that the path is made of.
const tokenKey = "token"

// receiverLocks is the class of the advisory locks, one a namespace, under which paths follow from Receivers and Secrets:
// of a Receiver and its Secret that are declared at the same time, the second sees the first.
const receiverLocks = 0x68 << 24 // "h"

// pathName names a path in the database, from which nobody can tell the path.
func (s *Store) pathName(path string) []byte {
	return s.sealer.MAC([]byte("webhook " + path)).Bytes()
}

// bindReceivers makes anew what follows from a declared object that has changed: from a Receiver its path, from a Secret
// those of the Receivers that name it.
func (s *Store) bindReceivers(ctx context.Context, tx pgx.Tx, kind, namespace, name string) error {
	if kind != resource.Receiver.Name && kind != resource.Secret.Name {
		return nil
	}
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1, hashtext($2))`, receiverLocks, namespace); err != nil {
		return explain("lock the Receivers of "+namespace, err)
	}
	const query = `SELECT ` + objectColumns + ` FROM object
		WHERE home = $1 AND kind = 'Receiver' AND namespace = $2 AND deleted_at IS NULL
			AND CASE $3 WHEN 'Receiver' THEN name ELSE spec -> 'secretRef' ->> 'name' END = $4
		ORDER BY name`
	rows, err := tx.Query(ctx, query, fleet.HubHome, namespace, kind, name)
	if err != nil {
		return explain("find Receivers", err)
	}
	receivers, err := pgx.CollectRows(rows, scanObject)
	if err != nil {
		return explain("find Receivers", err)
	}
	for _, receiver := range receivers {
		if err := s.bindReceiver(ctx, tx, receiver); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) bindReceiver(ctx context.Context, tx pgx.Tx, receiver *resource.Object) error {
	m := receiver.Metadata
	spec, err := resource.Spec[flux.Receiver](receiver)
	if err != nil {
		return err
	}
	token, problem, err := s.receiverToken(ctx, tx, m.Namespace, spec)
	if err != nil {
		return err
	}
	var path []byte
	reason := reasonTokenNotFound
	if problem == "" {
		path, reason = s.pathName(flux.WebhookPath(token, m.Name, m.Namespace)), ""
	}
	const upsert = `INSERT INTO receiver (namespace, name, path, observed_generation, handled_reconcile_at, reason, message)
		VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (namespace, name) DO UPDATE SET path = $3, observed_generation = $4, handled_reconcile_at = $5, reason = $6, message = $7
		WHERE (receiver.path, receiver.observed_generation, receiver.handled_reconcile_at, receiver.reason, receiver.message) IS DISTINCT FROM ($3, $4, $5, $6, $7)`
	_, err = tx.Exec(ctx, upsert, m.Namespace, m.Name, path, m.Generation, m.Annotations[flux.RequestedAtAnnotation], reason, problem)
	return explain("bind "+receiver.String(), err)
}

// receiverToken is what a Receiver's path is made of; problem says why there is none. That of generic-oidc is empty, as in
// Flux. Of a Secret it may not be: then anybody could tell the path.
func (s *Store) receiverToken(ctx context.Context, q querier, namespace string, spec flux.Receiver) (token, problem string, err error) {
	if spec.SecretRef == nil {
		return "", "", nil
	}
	secret := "Secret/" + namespace + "/" + spec.SecretRef.Name
	content, err := s.openSecret(ctx, q, namespace, spec.SecretRef.Name)
	switch {
	case errors.Is(err, fleet.ErrNotFound):
		return "", fmt.Sprintf("spec.secretRef: %s is not given to the hub: apply it, with the key %s", secret, tokenKey), nil
	case err != nil:
		return "", "", err
	case len(content.Data[tokenKey]) == 0:
		return "", fmt.Sprintf("spec.secretRef: %s has no key %s, or nothing in it", secret, tokenKey), nil
	}
	return string(content.Data[tokenKey]), "", nil
}

// forgetReceiver forgets what is stored of one that is deleted.
func forgetReceiver(ctx context.Context, tx pgx.Tx, namespace, name string) error {
	_, err := tx.Exec(ctx, `DELETE FROM receiver WHERE namespace = $1 AND name = $2`, namespace, name)
	return explain("forget Receiver/"+namespace+"/"+name, err)
}

// receiverSecret joins the Secret c that the Receiver o has.
const receiverSecret = ` LEFT JOIN object c ON c.home = o.home AND c.kind = 'Secret' AND c.namespace = o.namespace
	AND c.name = o.spec -> 'secretRef' ->> 'name' AND c.deleted_at IS NULL`

// ReceiverStates returns what is stored of the Receivers of a namespace, or of one of them (empty: all), by
// "namespace/name".
func (s *Store) ReceiverStates(ctx context.Context, namespace, name string) (map[string]fleet.ReceiverState, error) {
	const query = `SELECT r.namespace, r.name, r.path IS NOT NULL, r.observed_generation, r.handled_reconcile_at, r.reason, r.message,
			r.ready_since, r.written::text::bigint, coalesce(c.name, ''), c.sealed
		FROM receiver r JOIN object o ON o.home = $1 AND o.kind = 'Receiver' AND o.namespace = r.namespace AND o.name = r.name AND o.deleted_at IS NULL` +
		receiverSecret + ` WHERE ($2 = '' OR r.namespace = $2) AND ($3 = '' OR r.name = $3)`
	const doing = "read the Receivers"
	rows, err := s.pool.Query(ctx, query, fleet.HubHome, namespace, name)
	if err != nil {
		return nil, explain(doing, err)
	}
	defer rows.Close()
	states := map[string]fleet.ReceiverState{}
	for rows.Next() {
		var state fleet.ReceiverState
		var namespace, name, secret string
		var has bool
		var sealed []byte
		err := rows.Scan(&namespace, &name, &has, &state.ObservedGeneration, &state.HandledReconcileAt, &state.Reason, &state.Message,
			&state.ReadySince, &state.Version, &secret, &sealed)
		if err != nil {
			return nil, explain(doing, err)
		}
		if has {
			content, err := s.unsealed(namespace, secret, sealed)
			if err != nil {
				return nil, err
			}
			state.Path = flux.WebhookPath(string(content[tokenKey]), name, namespace)
		}
		states[namespace+"/"+name] = state
	}
	return states, explain(doing, rows.Err())
}
