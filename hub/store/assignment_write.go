package store

import (
	"fmt"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
)

const (
	// putRows and putBytes bound what one statement writes: a step over a thousand clusters takes one of each kind.
	putRows  = 1000
	putBytes = 16 << 20
	// keptPins is how many Manifests of an Assignment its spoke may fetch or hold as a base.
	keptPins = 4
)

// assignmentRows are Assignments of one App to write, a column each, in order of cluster.
type assignmentRows struct {
	app        string
	clusters   []string
	states     []string
	generation []int64
	pins       []int64
	releases   [][]byte
	manifests  [][]byte
	placements []string
	payloads   [][]byte
	// before are the generations of those that were loaded; 0: there is no row.
	before []int64
	size   int
}

// put adds one Assignment over the one that was loaded, and queues what is written once it is enough. One that no message
// takes would keep those of all Apps from the cluster.
func (r *assignmentRows) put(batch *pgx.Batch, cluster string, old *fleet.Assignment, put rollout.Put) error {
	a := put.Assignment
	payload := a.Encode()
	if len(payload) > fleet.MaxAssignment {
		return fmt.Errorf("assign %s to cluster %s: %w: it takes %d bytes with what the Placement and the cluster add, %d are allowed: make its spec smaller",
			a.App.Words(), cluster, fleet.ErrInvalid, len(payload), fleet.MaxAssignment)
	}
	var release, manifest []byte // null for an App that only the spoke knows of
	if !a.Release.Manifest.IsZero() {
		release, manifest = a.Release.Digest().Bytes(), a.Release.Manifest.Bytes()
	}
	var generation uint64
	if old != nil {
		generation = old.Generation
	}
	r.clusters, r.states = append(r.clusters, cluster), append(r.states, string(a.State))
	r.generation, r.pins = append(r.generation, int64(a.Generation)), append(r.pins, int64(a.Pin))
	r.releases, r.manifests = append(r.releases, release), append(r.manifests, manifest)
	r.placements, r.payloads, r.before = append(r.placements, put.Placement), append(r.payloads, payload), append(r.before, int64(generation))
	if r.size += len(payload); len(r.clusters) == putRows || r.size >= putBytes {
		r.queue(batch)
	}
	return nil
}

// queue has the rows written over those that were loaded, and recorded what their spokes may fetch: the Manifests of the
// current and the last three pins.
func (r *assignmentRows) queue(batch *pgx.Batch) {
	if len(r.clusters) == 0 {
		return
	}
	const write = `WITH given AS (
			SELECT * FROM unnest($2::uuid[], $3::text[], $4::bigint[], $5::bigint[], $6::bytea[], $7::text[], $8::bytea[], $9::bigint[])
				AS g (cluster, state, generation, pin, release, placement, payload, before)
		), locked AS (
			SELECT g.* FROM given g JOIN assignment a ON a.cluster = g.cluster AND a.app = $1 AND a.generation = g.before ORDER BY g.cluster FOR UPDATE OF a
		), changed AS (
			UPDATE assignment a SET state = l.state, generation = l.generation, pin = l.pin, release = l.release, placement = l.placement, payload = l.payload
				FROM locked l WHERE a.cluster = l.cluster AND a.app = $1 RETURNING a.cluster
		), made AS (
			INSERT INTO assignment (cluster, app, state, generation, pin, release, placement, payload)
				SELECT cluster, $1, state, generation, pin, release, placement, payload FROM given WHERE before = 0 ORDER BY cluster
				ON CONFLICT DO NOTHING RETURNING cluster
		)
		SELECT (SELECT count(*) FROM changed) + (SELECT count(*) FROM made)`
	written := len(r.clusters)
	batch.Queue(write, r.app, r.clusters, r.states, r.generation, r.pins, r.releases, r.placements, r.payloads, r.before).QueryRow(func(row pgx.Row) error {
		var n int
		if err := row.Scan(&n); err != nil {
			return err
		}
		if n != written {
			return fmt.Errorf("%w: of %d Assignments, %d changed meanwhile", errLost, written, written-n)
		}
		return nil
	})
	const pin = `INSERT INTO assignment_pin (cluster, app, pin, manifest) SELECT cluster, $1, pin, manifest
		FROM unnest($2::uuid[], $3::bigint[], $4::bytea[]) AS g (cluster, pin, manifest) WHERE manifest IS NOT NULL ORDER BY cluster
		ON CONFLICT DO NOTHING`
	batch.Queue(pin, r.app, r.clusters, r.pins, r.manifests)
	const trim = `DELETE FROM assignment_pin p USING (
			SELECT cluster, pin, row_number() OVER (PARTITION BY cluster ORDER BY pin DESC) AS n FROM assignment_pin WHERE app = $1 AND cluster = ANY($2::uuid[])) r
		WHERE r.n > $3 AND p.cluster = r.cluster AND p.app = $1 AND p.pin = r.pin`
	batch.Queue(trim, r.app, r.clusters, keptPins)
	*r = assignmentRows{app: r.app}
}

// endOrders forgets persons' orders to end an App in clusters, and their confirmations: they are carried out, or void.
func endOrders(batch *pgx.Batch, clusters []string, app fleet.Key) {
	if len(clusters) == 0 {
		return
	}
	const clear = `UPDATE instance_request SET confirmed = false, ending = NULL WHERE cluster = ANY($1::uuid[]) AND app = $2 AND (confirmed OR ending IS NOT NULL)`
	batch.Queue(clear, clusters, app.String())
}

// endApprovals forgets persons' approvals of prunes in clusters, unless they are newer ones by now.
func endApprovals(batch *pgx.Batch, clusters []string, digests [][]byte, app fleet.Key) {
	if len(clusters) == 0 {
		return
	}
	const forget = `DELETE FROM prune_approval p USING unnest($1::uuid[], $2::bytea[]) AS g (cluster, digest)
		WHERE p.cluster = g.cluster AND p.app = $3 AND p.digest = g.digest`
	batch.Queue(forget, clusters, digests, app.String())
}

// dropAssignments ends rows whose tombstones are done, with all that was said of them.
func dropAssignments(batch *pgx.Batch, clusters []string, app fleet.Key) {
	if len(clusters) == 0 {
		return
	}
	for _, table := range []string{"assignment", "assignment_pin", "report", "prune_approval", "instance_request"} {
		batch.Queue(`DELETE FROM `+table+` WHERE cluster = ANY($1::uuid[]) AND app = $2`, clusters, app.String())
	}
}
