package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
)

// Suspend sets spec.suspend and returns the object and the clusters, by name, that have it. A dry run stores nothing and
// returns what would be.
func (s *Store) Suspend(ctx context.Context, by fleet.Caller, kind, namespace, name string, dryRun bool) (*resource.Object, []string, error) {
	var stored *resource.Object
	var clusters []string
	act := action{verb: "suspend", object: kind + "/" + namespace + "/" + name, dryRun: dryRun}
	err := s.transact(ctx, by, act, func(tx pgx.Tx) (err error) {
		if err := setSuspend(ctx, tx, act, kind, namespace, name, true); err != nil {
			return err
		}
		if err := s.bindReceivers(ctx, tx, kind, namespace, name); err != nil {
			return err
		}
		if stored, err = getObject(ctx, tx, kind, namespace, name); err != nil {
			return err
		}
		if clusters, err = clustersOf(ctx, tx, stored.Key()); err != nil {
			return err
		}
		return publish(ctx, tx, TopicObjects)
	})
	return stored, clusters, err
}

// Resume clears spec.suspend, records a request to look now, and returns the object and the request. A dry run stores
// nothing and returns what would be.
func (s *Store) Resume(ctx context.Context, by fleet.Caller, kind, namespace, name string, dryRun bool) (*resource.Object, fleet.LookRequest, error) {
	var stored *resource.Object
	request := newLookRequest()
	act := action{verb: "resume", object: kind + "/" + namespace + "/" + name, dryRun: dryRun}
	err := s.transact(ctx, by, act, func(tx pgx.Tx) (err error) {
		if err := setSuspend(ctx, tx, act, kind, namespace, name, false); err != nil {
			return err
		}
		if err := annotate(ctx, tx, kind, namespace, name, requestMarks(request)); err != nil {
			return err
		}
		if err := s.bindReceivers(ctx, tx, kind, namespace, name); err != nil {
			return err
		}
		if stored, err = getObject(ctx, tx, kind, namespace, name); err != nil {
			return err
		}
		if request.Clusters, err = clustersOf(ctx, tx, stored.Key()); err != nil {
			return err
		}
		return publish(ctx, tx, TopicObjects)
	})
	return stored, request, err
}

func setSuspend(ctx context.Context, tx pgx.Tx, act action, kind, namespace, name string, suspend bool) error {
	const update = `UPDATE object SET spec = CASE WHEN $5 THEN jsonb_set(spec, '{suspend}', 'true') ELSE spec - 'suspend' END,
			generation = generation + 1
		WHERE home = $1 AND kind = $2 AND namespace = $3 AND name = $4 AND deleted_at IS NULL
			AND coalesce((spec ->> 'suspend')::boolean, false) <> $5`
	_, err := tx.Exec(ctx, update, fleet.HubHome, kind, namespace, name, suspend)
	return explain(act.doing(), err)
}

// clustersOf are the names of the clusters that have the App.
func clustersOf(ctx context.Context, tx pgx.Tx, app fleet.Key) ([]string, error) {
	const query = `SELECT c.name FROM assignment a JOIN cluster c ON c.id = a.cluster WHERE a.app = $1 AND a.state = 'Active' ORDER BY c.name`
	rows, err := tx.Query(ctx, query, app.String())
	if err != nil {
		return nil, explain("find the clusters of "+app.String(), err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return names, explain("find the clusters of "+app.String(), err)
}
