package store

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/pkg/fleet"
)

// A page is cut before what is shown of each Assignment is read. The rest of the App that it begins in is read by itself: an
// App may be in ten thousand clusters, which are in no index in order of their names.
const (
	pageOfApp = `(
		SELECT a.* FROM assignment a JOIN cluster c ON c.id = a.cluster
		WHERE a.app LIKE $1 AND ($2 = '' OR c.name = $2) AND a.app = $6 AND c.name > $7 ORDER BY c.name LIMIT $8)`
	pageOfLater = `(
		SELECT a.* FROM assignment a JOIN cluster c ON c.id = a.cluster
		WHERE a.app LIKE $1 AND ($2 = '' OR c.name = $2) AND a.app > $6 ORDER BY a.app, c.name LIMIT $7)`
)

// instancePage reads one page.
func instancePage(ctx context.Context, tx pgx.Tx, q fleet.InstanceQuery) ([]fleet.Instance, error) {
	app, after := q.After.String(), q.AfterThere
	if q.After == (fleet.Key{}) {
		const first = `SELECT app FROM assignment WHERE app LIKE $1 ORDER BY app LIMIT 1`
		err := tx.QueryRow(ctx, first, keysLike(q)).Scan(&app)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil, nil
		}
		if err != nil {
			return nil, explain("find the first App", err)
		}
		after = "" // which sorts before every name
	}
	page, err := readInstances(ctx, tx, q, pageOfApp, app, after, q.Limit)
	if err != nil || len(page) == q.Limit {
		return page, err
	}
	later, err := readInstances(ctx, tx, q, pageOfLater, app, q.Limit-len(page))
	return append(page, later...), err
}
