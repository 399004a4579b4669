package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
)

// RequestReconcile records a request to look now at a declared object, as `flux reconcile` does in an annotation. With
// source set, an App's Source is asked first: the App's own request is passed on once that one is served.
func (s *Store) RequestReconcile(ctx context.Context, by fleet.Caller, kind, namespace, name string, source *flux.SourceRef, options fleet.LookOptions) (fleet.LookRequest, error) {
	request := newLookRequest()
	act := action{verb: "reconcile", object: kind + "/" + namespace + "/" + name, dryRun: options.DryRun, detail: detail(when(options.Force, "force"), when(options.Reset, "reset"))}
	err := s.transact(ctx, by, act, func(tx pgx.Tx) error {
		object, err := lockObject(ctx, tx, kind, namespace, name)
		if err != nil {
			return err
		}
		marks := requestMarks(request)
		if options.Force {
			marks[flux.ForceAtAnnotation] = request.At
		}
		if options.Reset {
			marks[flux.ResetAtAnnotation] = request.At
		}
		if source != nil {
			sourceMarks := map[string]string{flux.RequestedAtAnnotation: request.At}
			if err := annotate(ctx, tx, source.Kind, source.NamespaceFor(namespace), source.Name, sourceMarks); err != nil {
				return err
			}
			if err := annotateInput(ctx, tx, source.Kind, source.NamespaceFor(namespace), source.Name, sourceMarks); err != nil {
				return err
			}
			marks[withSourceAnnotation] = request.At
			marks[beforeAnnotation] = object.Metadata.Annotations[flux.RequestedAtAnnotation]
		}
		if err := annotate(ctx, tx, kind, namespace, name, marks); err != nil {
			return err
		}
		if err := s.bindReceivers(ctx, tx, kind, namespace, name); err != nil {
			return err
		}
		if request.Clusters, err = clustersOf(ctx, tx, object.Key()); err != nil {
			return err
		}
		return publish(ctx, tx, TopicObjects)
	})
	return request, err
}

func newLookRequest() fleet.LookRequest {
	return fleet.LookRequest{At: time.Now().UTC().Format(time.RFC3339Nano)}
}

// requestMarks are the annotations of a request that waits for no Source.
func requestMarks(request fleet.LookRequest) map[string]string {
	return map[string]string{flux.RequestedAtAnnotation: request.At, withSourceAnnotation: ""}
}

// annotate sets annotations of a live object; an empty value removes one.
func annotate(ctx context.Context, tx pgx.Tx, kind, namespace, name string, marks map[string]string) error {
	doing := "annotate " + kind + "/" + namespace + "/" + name
	for key, value := range marks {
		const set = `UPDATE object SET annotations = CASE WHEN $6 = '' THEN annotations - $5 ELSE jsonb_set(annotations, ARRAY[$5], to_jsonb($6::text)) END
			WHERE home = $1 AND kind = $2 AND namespace = $3 AND name = $4 AND deleted_at IS NULL`
		tag, err := tx.Exec(ctx, set, fleet.HubHome, kind, namespace, name, key, value)
		if err != nil {
			return explain(doing, err)
		}
		if tag.RowsAffected() == 0 {
			return explain(doing, pgx.ErrNoRows)
		}
	}
	return nil
}

// RequestInstance records a request to reconcile an App in one cluster, which counts until another one is made for all.
func (s *Store) RequestInstance(ctx context.Context, by fleet.Caller, app fleet.Key, cluster string, options fleet.LookOptions) (fleet.LookRequest, error) {
	request := fleet.LookRequest{Clusters: []string{cluster}}
	act := action{verb: "reconcile", object: instanceName(app, cluster), dryRun: options.DryRun, detail: detail(when(options.Force, "force"), when(options.Reset, "reset"))}
	err := s.transact(ctx, by, act, func(tx pgx.Tx) error {
		own, err := ownRequest(ctx, tx, app)
		if err != nil {
			return err
		}
		request.At = fleet.RequestAt(own, time.Now())
		const upsert = `INSERT INTO instance_request (cluster, app, requested_at, force, reset)
			SELECT a.cluster, a.app, $3, $4, $5 FROM assignment a JOIN cluster c ON c.id = a.cluster WHERE c.name = $1 AND a.app = $2
			ON CONFLICT (cluster, app) DO UPDATE SET requested_at = $3, force = $4, reset = $5, at = now()`
		tag, err := tx.Exec(ctx, upsert, cluster, app.String(), request.At, options.Force, options.Reset)
		if err != nil {
			return explain(act.doing(), err)
		}
		if tag.RowsAffected() == 0 {
			return explain(act.doing(), pgx.ErrNoRows)
		}
		return publish(ctx, tx, TopicObjects)
	})
	return request, err
}

// ownRequest is a declared App's request for all of its clusters, as they have it; empty: there is none.
func ownRequest(ctx context.Context, tx pgx.Tx, app fleet.Key) (string, error) {
	const query = `SELECT o.annotations, coalesce(s.handled_reconcile_at, '') FROM object o LEFT JOIN source s ON ` + isSource + ` WHERE o.key = $1 AND o.deleted_at IS NULL`
	var annotations map[string]string
	var sourceHandled string
	err := tx.QueryRow(ctx, query, app.String()).Scan(&annotations, &sourceHandled)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil
	}
	return passedOn(annotations, sourceHandled), explain("read the App's request", err)
}

// ApprovePrune records a person's approval of exactly the set of deletions of that digest, in the clusters (by name)
// that hold it now, or in one of them, and returns those. Their number must have been confirmed, fleet.ErrConflict
// otherwise, but in a dry run, which records nothing.
func (s *Store) ApprovePrune(ctx context.Context, by fleet.Caller, app fleet.Key, cluster string, digest fleet.Digest, order fleet.Order) ([]string, error) {
	act := action{verb: "approve the prune of", object: app.Words(), detail: digest.String(), dryRun: order.DryRun}
	if cluster != "" {
		act.object = instanceName(app, cluster)
	}
	var clusters []string
	err := s.transact(ctx, by, act, func(tx pgx.Tx) error {
		const approve = `WITH holding AS (
				INSERT INTO prune_approval (cluster, app, release, digest)
				SELECT r.cluster, r.app, coalesce(a.release, ''), $2 FROM report r JOIN assignment a USING (cluster, app)
					WHERE r.app = $1 AND r.held_prune ->> 'digest' = $3 AND ($4 = '' OR r.cluster = (SELECT id FROM cluster WHERE name = $4))
				ON CONFLICT (cluster, app) DO UPDATE SET release = excluded.release, digest = excluded.digest, at = now()
				RETURNING cluster)
			SELECT c.name FROM holding h JOIN cluster c ON c.id = h.cluster ORDER BY c.name`
		rows, err := tx.Query(ctx, approve, app.String(), digest.Bytes(), digest.String(), cluster)
		if err != nil {
			return explain(act.doing(), err)
		}
		if clusters, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
			return explain(act.doing(), err)
		}
		switch {
		case len(clusters) == 0:
			return fmt.Errorf("%s: %w: no cluster holds the set %s: look again with `fleetctl prune show`", act.object, fleet.ErrNotFound, digest)
		case order.Confirm == nil && !order.DryRun:
			return fmt.Errorf("%s: %w: %d clusters hold the set: their number has to be confirmed", act.object, fleet.ErrInvalid, len(clusters))
		case order.Confirm != nil && int(*order.Confirm) != len(clusters):
			return fmt.Errorf("%s: %w: %d clusters were confirmed and %d hold the set", act.object, fleet.ErrConflict, *order.Confirm, len(clusters))
		}
		return publish(ctx, tx, TopicReports)
	})
	return clusters, err
}
