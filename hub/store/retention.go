package store

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/pkg/run"
)

// rule bounds one table. Its statement deletes what is past the bound. One with parameters goes through the large table of
// blobs in stretches: it looks at the next $2 rows after key $1, and returns the key of the last one, how many it deleted,
// and the digests and names of those whose bytes are objects.
type rule struct {
	table string
	why   string
	sql   string
}

// retention bounds every table that grows, in the order in which rows let go of each other. Tables that do not stand
// here are bounded by what people declare, and unbounded says how.
var retention = []rule{
	{"object", "deleted objects stay an hour for watchers, and until no Assignment needs their tombstone", `
		WITH gone AS (DELETE FROM object o WHERE deleted_at < now() - interval '1 hour'
			AND NOT EXISTS (SELECT FROM assignment a WHERE a.app = o.key)
			AND NOT EXISTS (SELECT FROM assignment a WHERE o.kind = 'Placement' AND a.placement = o.name AND split_part(a.app, '/', 3) = o.namespace)
			RETURNING o.written)` + forgetting},
	{"gone_instance", "an hour for watchers, and the newest of each declared App and Cluster", `
		WITH gone AS (DELETE FROM gone_instance g WHERE at < now() - interval '1 hour'
			AND (EXISTS (SELECT FROM gone_instance n WHERE n.app = g.app AND n.written > g.written) OR NOT EXISTS
				(SELECT FROM object o WHERE o.key = g.app AND o.deleted_at IS NULL))
			AND (EXISTS (SELECT FROM gone_instance n WHERE n.cluster = g.cluster AND n.written > g.written) OR NOT EXISTS
				(SELECT FROM cluster c WHERE c.name = g.cluster))
			RETURNING g.written)` + forgetting},
	{"source", "what was known of a Source goes with it", `
		DELETE FROM source s WHERE NOT EXISTS (SELECT FROM object o WHERE o.kind = s.kind AND o.namespace = s.namespace AND o.name = s.name AND o.deleted_at IS NULL)`},
	{"upstream", "an upstream nobody names is kept a day", `
		WITH named AS (UPDATE upstream u SET used_at = now() WHERE used_at < now() - interval '12 hours' AND EXISTS (SELECT FROM source s WHERE s.upstream = u.id))
		DELETE FROM upstream u WHERE used_at < now() - interval '1 day' AND NOT EXISTS (SELECT FROM source s WHERE s.upstream = u.id)`},
	{"app", "what was known of an App goes with it", `
		DELETE FROM app a WHERE NOT EXISTS (SELECT FROM object o WHERE o.key = a.key AND o.deleted_at IS NULL)`},
	{"event", "a week, and at most 100,000", `
		DELETE FROM event WHERE at < now() - interval '7 days' OR id <= (SELECT max(id) - 100000 FROM event)`},
	{"audit", "400 days; the newest row is the anchor of the chain", `
		DELETE FROM audit WHERE at < now() - interval '400 days' AND number < (SELECT max(number) FROM audit)`},
	{"join_token", "a day after it ran out", `
		DELETE FROM join_token WHERE expires_at < now() - interval '1 day'`},
	{"revoked_cluster", "until its last certificate cannot be renewed any more", `
		DELETE FROM revoked_cluster WHERE until < now()`},
	{"issued_state", "from the last acknowledged one on, and at most the newest 1,000 a cluster, of whatever epoch", `
		WITH ranked AS (SELECT cluster, epoch, version, row_number() OVER (PARTITION BY cluster ORDER BY epoch DESC, version DESC) AS n FROM issued_state)
		DELETE FROM issued_state i USING ranked r
			WHERE i.cluster = r.cluster AND i.epoch = r.epoch AND i.version = r.version AND r.n > 1000`},
	{"question", "until a minute after its deadline", `
		DELETE FROM question WHERE deadline < now() - interval '1 minute'`},
	{"instance_request", "30 days, unless something is still to be ended or deleted", `
		DELETE FROM instance_request WHERE at < now() - interval '30 days' AND ending IS NULL AND NOT confirmed`},
	{"prune_approval", "30 days", `
		DELETE FROM prune_approval WHERE at < now() - interval '30 days'`},
	{"report", "as long as the Assignment it is of", `
		DELETE FROM report r WHERE NOT EXISTS (SELECT FROM assignment a WHERE a.cluster = r.cluster AND a.app = r.app)`},
	{"instance_history", "the newest 20 an App in a cluster; none of an App that left it a day ago", `
		WITH ranked AS (SELECT cluster, app, release, last_at, row_number() OVER (PARTITION BY cluster, app ORDER BY last_at DESC, release) AS n FROM instance_history)
		DELETE FROM instance_history h USING ranked r WHERE h.cluster = r.cluster AND h.app = r.app AND h.release = r.release
			AND (r.n > 20 OR r.last_at < now() - interval '1 day' AND NOT EXISTS (SELECT FROM assignment a WHERE a.cluster = h.cluster AND a.app = h.app))`},
	{"rollout", "30 days after its end, and the last 10 of an App; none of an App that is gone", `
		WITH ranked AS (SELECT id, row_number() OVER (PARTITION BY app ORDER BY created_at DESC, id) AS n FROM rollout)
		DELETE FROM rollout r USING ranked WHERE ranked.id = r.id AND r.finished_at < now() - interval '30 days'
			AND (ranked.n > 10 OR ` + gone("r.app") + `)`},
	{"rollout_event", "at most the newest 100,000 of a Rollout; they go with it", `
		DELETE FROM rollout_event e USING rollout r WHERE r.id = e.rollout AND r.last_event > 100000 AND e.number <= r.last_event - 100000`},
	{"outage", "30 days", `
		DELETE FROM outage WHERE until < now() - interval '30 days'`},
	{"rollout_track", "as long as the App, or a cluster that has it", `
		DELETE FROM rollout_track t WHERE ` + gone("t.app")},
	{"app_revision", "the newest 50 an App and the newest of each Release that is in use; none of an App that is gone", `
		WITH used AS (
			SELECT release FROM assignment WHERE release IS NOT NULL UNION SELECT release FROM app WHERE release IS NOT NULL
			UNION SELECT applied FROM report WHERE applied IS NOT NULL),
		ranked AS (
			SELECT app, revision, release, row_number() OVER (PARTITION BY app ORDER BY at DESC, revision) AS n,
				row_number() OVER (PARTITION BY app, release ORDER BY at DESC, revision) AS of_release
			FROM app_revision)
		DELETE FROM app_revision v USING ranked r WHERE v.app = r.app AND v.revision = r.revision
			AND (r.n > 50 AND NOT (r.of_release = 1 AND r.release IN (SELECT release FROM used)) OR ` + gone("v.app") + `)`},
	{"release", "what is assigned, applied or the newest, what a kept Revision is at, what a kept Rollout goes to or came from, what clusters may come to have again, and the last 5 an App; none of an App that is gone", `
		WITH ranked AS (SELECT digest, row_number() OVER (PARTITION BY app ORDER BY used_at DESC, digest) AS n FROM release)
		DELETE FROM release r USING ranked WHERE ranked.digest = r.digest AND r.used_at < now() - interval '1 day'
			AND NOT EXISTS (SELECT FROM assignment a WHERE a.release = r.digest)
			AND NOT EXISTS (SELECT FROM app a WHERE a.release = r.digest)
			AND NOT EXISTS (SELECT FROM app_revision v WHERE v.release = r.digest)
			AND NOT EXISTS (SELECT FROM rollout o WHERE o.target = r.digest)
			AND NOT EXISTS (SELECT FROM rollout_member m WHERE m.base = r.digest)
			AND NOT EXISTS (SELECT FROM rollout_track t WHERE t.app = r.app AND r.digest = ANY (t.releases))
			AND (ranked.n > 5 OR ` + gone("r.app") + `)`},
	{"build", "30 days, and at most 10,000", `
		DELETE FROM build WHERE used_at < now() - interval '30 days'
			OR key IN (SELECT key FROM build ORDER BY used_at DESC OFFSET 10000)`},
	{"build_inputs", "as long as the App whose builds looked at them; four an App", `
		DELETE FROM build_inputs i WHERE NOT EXISTS (SELECT FROM object o WHERE o.key = i.app AND o.deleted_at IS NULL)`},
	{"earlier_inputs", "as long as the App whose builds looked at them; sixteen a recipe, and 2 MiB an App", `
		DELETE FROM earlier_inputs i WHERE NOT EXISTS (SELECT FROM object o WHERE o.key = i.app AND o.deleted_at IS NULL)`},
	{"distrusted_shape", "as long as the namespace has an App; a thousand a namespace", `
		DELETE FROM distrusted_shape d WHERE NOT EXISTS (SELECT FROM object o WHERE o.kind = 'Kustomization' AND o.namespace = d.namespace AND o.deleted_at IS NULL)`},
	{"build_claim", "until it runs out", `
		DELETE FROM build_claim WHERE claimed_until < now()`},
	{"blob", "what nothing has reached for a day; what is locked is in use, or another replica's to delete", `
		WITH stretch AS (SELECT digest FROM blob WHERE digest > $1 ORDER BY digest LIMIT $2),
		dead AS (
			SELECT b.digest FROM blob b JOIN stretch USING (digest) WHERE b.used_at < now() - interval '1 day'
				AND NOT EXISTS (SELECT FROM blob_part p WHERE p.part = b.digest)
				AND NOT EXISTS (SELECT FROM build WHERE manifest = b.digest)
				AND NOT EXISTS (SELECT FROM release WHERE manifest = b.digest)
				AND NOT EXISTS (SELECT FROM assignment_pin WHERE manifest = b.digest)
				AND NOT EXISTS (SELECT FROM upstream WHERE tree_blob = b.digest)
				AND NOT EXISTS (SELECT FROM source WHERE tree_blob = b.digest)
			ORDER BY b.digest FOR UPDATE OF b SKIP LOCKED),
		deleted AS (DELETE FROM blob b USING dead WHERE b.digest = dead.digest RETURNING b.digest, b.object),
		elsewhere AS (SELECT digest, object FROM deleted WHERE object IS NOT NULL ORDER BY digest)
		SELECT coalesce((SELECT digest FROM stretch ORDER BY digest DESC LIMIT 1), ''), (SELECT count(*) FROM deleted),
			(SELECT coalesce(array_agg(digest), '{}') FROM elsewhere), (SELECT coalesce(array_agg(object), '{}') FROM elsewhere)`},
}

// gone says in SQL that nothing is left of an App: neither its declaration nor a cluster that has it.
func gone(app string) string {
	return `NOT EXISTS (SELECT FROM object o WHERE o.key = ` + app + `) AND NOT EXISTS (SELECT FROM assignment a WHERE a.app = ` + app + `)`
}

// forgetting ends a rule that takes what watchers are told of: who watched before it must list again.
const forgetting = ` UPDATE hub SET forgotten = greatest(forgotten, (SELECT max(written) FROM gone)) WHERE EXISTS (SELECT FROM gone)`

// unbounded are the tables without a rule, and what bounds them.
var unbounded = map[string]string{
	"hub":            "one row",
	"looked":         "one row",
	"cluster":        "a row a declared Cluster",
	"admin_token":    "a row a token that a person made and nobody ended",
	"placement":      "a row a declared Placement",
	"receiver":       "a row a declared Receiver",
	"assignment":     "a row an App and cluster it is placed on",
	"assignment_pin": "four rows an Assignment",
	"rollout_member": "a row a cluster of a Rollout; goes with it",
	"frozen":         "one row, and one a cluster",
	"blob_chunk":     "goes with its blob",
	"blob_part":      "goes with its whole",
	"outbox":         "emptied by every flush",
	"schema_version": "a row a migration",
}

// Retain keeps every table within its bound until ctx ends, looking each period (zero: an hour).
func (s *Store) Retain(ctx context.Context, period time.Duration) error {
	return run.Every(ctx, cmp.Or(period, time.Hour), nil, func(ctx context.Context) {
		if err := s.retain(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("retention", "err", err)
		}
	})
}

// retain applies every rule; one that fails does not stop the others.
func (s *Store) retain(ctx context.Context) error {
	var errs []error
	for _, r := range retention {
		rows, err := s.applyRule(ctx, r)
		if rows > 0 {
			s.log.Debug("rows past their bound", "table", r.table, "rows", rows)
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	if err := s.sweepObjects(ctx); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (s *Store) applyRule(ctx context.Context, r rule) (deleted int64, err error) {
	if strings.Contains(r.sql, "$1") {
		return s.applyInStretches(ctx, r)
	}
	err = s.transact(ctx, System, action{verb: "retain", object: r.table}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SET LOCAL flotilla.audit_retention = 'on'`); err != nil {
			return explain("begin", err)
		}
		tag, err := tx.Exec(ctx, r.sql)
		deleted = tag.RowsAffected()
		return explain("delete", err)
	})
	return deleted, err
}

// stretch is how many rows a statement looks at, so that its locks, and its hold on the transaction horizon, are for a
// moment only.
const stretch = 5000

// applyInStretches goes through the table again and again until nothing goes any more: what a deleted row reached may
// be reached by nothing from then on.
func (s *Store) applyInStretches(ctx context.Context, r rule) (deleted int64, err error) {
	inPass := int64(0)
	for last := []byte{}; ; {
		var next []byte
		var rows int64
		var digests [][]byte
		var names []string
		err := s.transact(ctx, System, action{verb: "retain", object: r.table}, func(tx pgx.Tx) error {
			return explain("delete", tx.QueryRow(ctx, r.sql, last, stretch).Scan(&next, &rows, &digests, &names))
		})
		if err == nil {
			s.removeObjects(ctx, places(digests, names))
		}
		inPass += rows
		switch {
		case err != nil:
			return deleted + inPass, err
		case len(next) > 0:
			last = next
		case inPass == 0:
			return deleted, nil
		default: // the end of a pass
			deleted, inPass, last = deleted+inPass, 0, []byte{}
		}
	}
}
