package store

import (
	"context"
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/resource"
)

// maxWebhooks is how many Receivers of one path are looked at: their names and namespaces together have to be the same
// text.
const maxWebhooks = 16

// Webhooks returns the Receivers that take the calls of a path; none: nobody does.
func (s *Store) Webhooks(ctx context.Context, path string) ([]fleet.Webhook, error) {
	const query = `SELECT o.namespace, o.name, o.spec, coalesce(c.name, ''), c.sealed
		FROM receiver r JOIN object o ON o.home = $1 AND o.kind = 'Receiver' AND o.namespace = r.namespace AND o.name = r.name AND o.deleted_at IS NULL` +
		receiverSecret + ` WHERE r.path = $2 ORDER BY o.namespace, o.name LIMIT $3`
	const doing = "find the Receivers of a path" // which is not told
	rows, err := s.pool.Query(ctx, query, fleet.HubHome, s.pathName(path), maxWebhooks)
	if err != nil {
		return nil, explain(doing, err)
	}
	hooks, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (hook fleet.Webhook, err error) {
		var secret string
		var sealed []byte
		if err := row.Scan(&hook.Namespace, &hook.Name, &hook.Spec, &secret, &sealed); err != nil {
			return hook, err
		}
		hook.Secret, err = s.unsealed(hook.Namespace, secret, sealed)
		return hook, err
	})
	return hooks, explain(doing, err)
}

// Labelled returns the declared objects of a kind and namespace that have all these labels.
func (s *Store) Labelled(ctx context.Context, kind, namespace string, labels map[string]string) ([]*resource.Object, error) {
	const query = `SELECT ` + objectColumns + ` FROM object
		WHERE home = $1 AND kind = $2 AND namespace = $3 AND labels @> $4 AND deleted_at IS NULL ORDER BY name`
	doing := "list " + kind + " by labels"
	wanted, err := json.Marshal(orEmpty(labels))
	if err != nil {
		return nil, explain(doing, err)
	}
	rows, err := s.pool.Query(ctx, query, fleet.HubHome, kind, namespace, wanted)
	if err != nil {
		return nil, explain(doing, err)
	}
	objects, err := pgx.CollectRows(rows, scanObject)
	return objects, explain(doing, err)
}

// CallDue makes declared objects due at once because a webhook was called: of Sources the upstreams, and Apps by a request
// as a person makes one. Suspended ones stay as they are. It writes nothing when what is asked for is recorded already and
// not begun: a thousand calls come to one look.
func (s *Store) CallDue(ctx context.Context, objects []*resource.Object) error {
	return s.callDue(ctx, objects, time.Now())
}

func (s *Store) callDue(ctx context.Context, objects []*resource.Object, now time.Time) error {
	var kinds, namespaces, names []string
	var apps []*resource.Object
	for _, o := range objects {
		kind, _ := resource.KindOf(o.Kind)
		switch {
		case kind.App:
			apps = append(apps, o)
		case kind.Category == resource.Sources:
			kinds, namespaces, names = append(kinds, o.Kind), append(namespaces, o.Metadata.Namespace), append(names, o.Metadata.Name)
		}
	}
	if len(kinds)+len(apps) == 0 {
		return nil
	}
	request := callRequest(now)
	return s.transact(ctx, System, action{verb: "take a webhook's call"}, func(tx pgx.Tx) error {
		var topics []string
		if len(kinds) > 0 {
			tag, err := tx.Exec(ctx, askUpstreams, kinds, namespaces, names)
			if err != nil {
				return explain("make upstreams due", err)
			}
			if tag.RowsAffected() > 0 {
				topics = append(topics, TopicSources)
			}
		}
		anyAsked := false
		for _, app := range apps {
			asked, err := askApp(ctx, tx, app, request)
			if err != nil {
				return err
			}
			anyAsked = anyAsked || asked
		}
		if anyAsked {
			topics = append(topics, TopicObjects)
		}
		if len(topics) == 0 {
			return nil
		}
		return publish(ctx, tx, topics...)
	})
}

// askUpstreams makes the upstreams of active Sources due, unless they are and no look has begun since they were asked for.
// Of calls at once the one that began first may come last: what another has made due since is due. A look that is under way
// has begun before the call, and may have seen nothing of its news: see the trigger upstream_asked.
const askUpstreams = `WITH news AS (
		SELECT u.id FROM upstream u WHERE EXISTS (
				SELECT FROM unnest($1::text[], $2::text[], $3::text[]) AS named (kind, namespace, name)
					JOIN source s USING (kind, namespace, name) JOIN object o ON ` + activeSource + `
				WHERE s.upstream = u.id)
			AND NOT coalesce(u.due_at <= clock_timestamp() AND u.asked_at > coalesce(u.claimed_at, '-infinity'), false)
		ORDER BY u.id FOR UPDATE)
	UPDATE upstream u SET asked_at = now(), due_at = least(u.due_at, now()) FROM news WHERE u.id = news.id`

// callRequest is what the calls of a second ask for with: one request, since each is sent to every cluster that has the App.
// It is not before any of them.
func callRequest(now time.Time) string {
	return now.UTC().Truncate(time.Second).Add(time.Second).Format(time.RFC3339)
}

// askApp records a request to look at an App now, unless it is recorded.
func askApp(ctx context.Context, tx pgx.Tx, app *resource.Object, request string) (asked bool, err error) {
	const ask = `UPDATE object SET annotations = annotations - $5 || jsonb_build_object($6::text, $7::text)
		WHERE home = $1 AND kind = $2 AND namespace = $3 AND name = $4 AND deleted_at IS NULL
			AND NOT coalesce((spec ->> 'suspend')::boolean, false) AND annotations ->> $6 IS DISTINCT FROM $7`
	m := app.Metadata
	tag, err := tx.Exec(ctx, ask, fleet.HubHome, app.Kind, m.Namespace, m.Name, withSourceAnnotation, flux.RequestedAtAnnotation, request)
	return tag.RowsAffected() > 0, explain("ask for "+app.String(), err)
}
