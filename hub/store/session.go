package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/pkg/fleet"
)

// OpenSession starts the newest session of a cluster. held is the state that its spoke says it has: one that this hub
// never issued means that the hub is behind the spoke, and puts the cluster in safe mode. A state without digest is
// the spoke's high-water mark.
func (s *Store) OpenSession(ctx context.Context, cluster string, held fleet.StateID, facts fleet.ClusterFacts) (fleet.Session, error) {
	session := fleet.Session{Cluster: cluster}
	raw, err := json.Marshal(facts)
	if err != nil {
		return session, err
	}
	err = s.transact(ctx, System, action{verb: "open a session of cluster", object: cluster}, func(tx pgx.Tx) error {
		const open = `UPDATE cluster SET session = session + 1, sequence = 0, connected = true, last_seen = now(), facts = $2
			WHERE id = $1 RETURNING session, safe_mode, epoch, version, digest, ` + isNews
		var known fleet.StateID
		var digest []byte
		var news bool
		if err := tx.QueryRow(ctx, open, cluster, raw).Scan(&session.Number, &session.SafeMode, &known.Epoch, &known.Version, &digest, &news); err != nil {
			return explain("open a session", err)
		}
		if known.Digest, err = fleet.DigestFromBytes(digest); err != nil {
			return err
		}
		session.Epoch = known.Epoch
		issued, err := wasIssued(ctx, tx, cluster, known, held)
		if err != nil {
			return err
		}
		if !issued && session.SafeMode == "" {
			session.SafeMode = fmt.Sprintf("the spoke holds state %s, which this hub never issued (its own is %s): the database is older than the spoke", held, known)
		}
		if !issued {
			const enter = `UPDATE cluster SET safe_mode = $2, ahead_epoch = greatest(ahead_epoch, $3) WHERE id = $1`
			if _, err := tx.Exec(ctx, enter, cluster, session.SafeMode, held.Epoch); err != nil {
				return explain("enter safe mode", err)
			}
			if err := tellSafeMode(ctx, tx, cluster, session.SafeMode); err != nil {
				return err
			}
		}
		topics := []string{TopicCluster(cluster)}
		if news || !issued {
			topics = append(topics, TopicReports)
		}
		return publish(ctx, tx, topics...)
	})
	return session, err
}

// isNews says in SQL that this transaction changed the row in a way that clients see: the row's trigger knows which
// columns they see.
const isNews = `written = pg_current_xact_id()`

func tellSafeMode(ctx context.Context, tx pgx.Tx, cluster, why string) error {
	event := fleet.FleetEvent{At: time.Now(), Warning: true, Kind: "Cluster", Reason: "SafeMode", Message: why + "; `fleetctl hub recover` leads out of it"}
	if err := tx.QueryRow(ctx, `SELECT name FROM cluster WHERE id = $1`, cluster).Scan(&event.Name); err != nil {
		return explain("enter safe mode", err)
	}
	event.Cluster = event.Name
	if err := insertEvent(ctx, tx, event); err != nil {
		return err
	}
	return publish(ctx, tx, TopicEvents)
}

// wasIssued reports whether the hub knows the state that a spoke holds as one it gave it.
func wasIssued(ctx context.Context, tx pgx.Tx, cluster string, known, held fleet.StateID) (bool, error) {
	switch {
	case held.IsZero() || held == known:
		return true, nil
	case held.Digest.IsZero():
		return held.Compare(known) <= 0, nil
	}
	const query = `SELECT EXISTS (SELECT FROM issued_state WHERE cluster = $1 AND epoch = $2 AND version = $3 AND digest = $4)`
	var issued bool
	err := tx.QueryRow(ctx, query, cluster, held.Epoch, held.Version, held.Digest.Bytes()).Scan(&issued)
	return issued, explain("look up a state", err)
}

// CloseSession marks the cluster as disconnected, unless a newer session is open.
func (s *Store) CloseSession(ctx context.Context, session fleet.Session) error {
	return s.transact(ctx, System, action{verb: "close a session"}, func(tx pgx.Tx) error {
		const end = `UPDATE cluster SET connected = false WHERE id = $1 AND session = $2 AND connected`
		tag, err := tx.Exec(ctx, end, session.Cluster, session.Number)
		if err != nil || tag.RowsAffected() == 0 {
			return explain("close a session", err)
		}
		return publish(ctx, tx, TopicReports)
	})
}

// DisconnectSilent marks clusters as disconnected that were not heard of for a while, as when their hub died.
func (s *Store) DisconnectSilent(ctx context.Context, unheard time.Duration) error {
	return s.transact(ctx, System, action{verb: "disconnect silent clusters"}, func(tx pgx.Tx) error {
		const mark = `UPDATE cluster SET connected = false WHERE connected AND last_seen < now() - $1::interval`
		tag, err := tx.Exec(ctx, mark, unheard)
		if err != nil || tag.RowsAffected() == 0 {
			return explain("disconnect silent clusters", err)
		}
		return publish(ctx, tx, TopicReports)
	})
}

// DesiredState allots the next (version, digest) when the cluster's Assignments changed, and returns them with their
// name. Only the newest session may: an older one is fleet.ErrConflict. A cluster in safe mode gets what it had, which
// is not to be sent.
func (s *Store) DesiredState(ctx context.Context, session fleet.Session) (desired fleet.Desired, id fleet.StateID, safeMode string, err error) {
	// Mostly nothing changed, which a read tells without holding the row.
	changed := false
	err = s.snapshot(ctx, "read the state of cluster "+session.Cluster, func(tx pgx.Tx) error {
		desired, id, safeMode, changed, err = readState(ctx, tx, session, "")
		return err
	})
	if err != nil || !changed {
		return desired, id, safeMode, err
	}
	err = s.transact(ctx, System, action{verb: "read the state of cluster", object: session.Cluster}, func(tx pgx.Tx) error {
		desired, id, safeMode, changed, err = readState(ctx, tx, session, " FOR NO KEY UPDATE")
		if err != nil || !changed {
			return err
		}
		id.Version, id.Digest = id.Version+1, fleet.DesiredDigest(desired.Digests())
		return allot(ctx, tx, session, id)
	})
	return desired, id, safeMode, err
}

// readState returns the cluster's Assignments, the newest state allotted, and whether they differ.
func readState(ctx context.Context, tx pgx.Tx, session fleet.Session, lock string) (desired fleet.Desired, id fleet.StateID, safeMode string, changed bool, err error) {
	query := `SELECT epoch, version, digest, safe_mode FROM cluster WHERE id = $1 AND session = $2` + lock
	var digest []byte
	err = tx.QueryRow(ctx, query, session.Cluster, session.Number).Scan(&id.Epoch, &id.Version, &digest, &safeMode)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, id, safeMode, false, fmt.Errorf("session %d of cluster %s: %w: it is not the newest", session.Number, session.Cluster, fleet.ErrConflict)
	}
	if err != nil {
		return nil, id, safeMode, false, explain("read the state", err)
	}
	if id.Digest, err = fleet.DigestFromBytes(digest); err != nil || safeMode != "" {
		return nil, id, safeMode, false, err
	}
	if desired, err = readDesired(ctx, tx, session.Cluster); err != nil {
		return nil, id, safeMode, false, err
	}
	return desired, id, safeMode, id.Version == 0 || fleet.DesiredDigest(desired.Digests()) != id.Digest, nil
}

func readDesired(ctx context.Context, tx pgx.Tx, cluster string) (fleet.Desired, error) {
	rows, err := tx.Query(ctx, `SELECT app, payload FROM assignment WHERE cluster = $1`, cluster)
	if err != nil {
		return nil, explain("read the Assignments", err)
	}
	defer rows.Close()
	desired := fleet.Desired{}
	for rows.Next() {
		var app string
		var payload []byte
		if err := rows.Scan(&app, &payload); err != nil {
			return nil, explain("read the Assignments", err)
		}
		desired[app] = payload
	}
	return desired, explain("read the Assignments", rows.Err())
}

func allot(ctx context.Context, tx pgx.Tx, session fleet.Session, id fleet.StateID) error {
	const update = `UPDATE cluster SET version = $3, digest = $4 WHERE id = $1 AND session = $2`
	if _, err := tx.Exec(ctx, update, session.Cluster, session.Number, id.Version, id.Digest.Bytes()); err != nil {
		return explain("allot a version", err)
	}
	const issue = `INSERT INTO issued_state (cluster, epoch, version, digest) VALUES ($1, $2, $3, $4)`
	_, err := tx.Exec(ctx, issue, session.Cluster, id.Epoch, id.Version, id.Digest.Bytes())
	return explain("record an issued state", err)
}

// StoreReports stores a batch. A batch of a session that is not the newest is fleet.ErrConflict; one that was stored
// before changes nothing. One that says nothing new, as a heartbeat, wakes nobody.
func (s *Store) StoreReports(ctx context.Context, cluster string, batch fleet.ReportBatch) error {
	unknown, err := json.Marshal(batch.Unknown)
	if err != nil {
		return err
	}
	if batch.Unknown == nil {
		unknown = []byte("[]")
	}
	return s.transact(ctx, System, action{verb: "store reports of cluster", object: cluster}, func(tx pgx.Tx) error {
		const seen = `UPDATE cluster SET last_seen = now(), connected = true, sequence = $3, unknown = $4,
				acked_epoch = $5, acked_version = $6, acked_digest = $7
			WHERE id = $1 AND session = $2 AND sequence < $3 RETURNING name, last_event, ` + isNews
		ack := batch.Acknowledged
		var name string
		var lastEvent int64
		var news bool
		err := tx.QueryRow(ctx, seen, cluster, batch.Session, batch.Sequence, unknown, ack.Epoch, ack.Version, orNone(ack.Digest)).Scan(&name, &lastEvent, &news)
		if errors.Is(err, pgx.ErrNoRows) {
			return s.whyRefused(ctx, tx, cluster, batch)
		}
		if err != nil {
			return explain("store reports", err)
		}
		const forget = `DELETE FROM issued_state WHERE cluster = $1 AND (epoch, version) < ($2::bigint, $3::bigint)`
		if news {
			if _, err := tx.Exec(ctx, forget, cluster, ack.Epoch, ack.Version); err != nil {
				return explain("forget older states", err)
			}
		}
		slices.SortFunc(batch.Reports, func(a, b fleet.Report) int { return a.App.Compare(b.App) })
		for _, report := range batch.Reports {
			stored, err := putReport(ctx, tx, cluster, report)
			if err != nil {
				return err
			}
			news = news || stored
		}
		if err := storeEvents(ctx, tx, cluster, name, lastEvent, batch.Events); err != nil || !news {
			return err
		}
		return publish(ctx, tx, TopicReports)
	})
}

func orNone(d fleet.Digest) []byte {
	if d.IsZero() {
		return []byte{}
	}
	return d.Bytes()
}

func (s *Store) whyRefused(ctx context.Context, tx pgx.Tx, cluster string, batch fleet.ReportBatch) error {
	const query = `SELECT session FROM cluster WHERE id = $1`
	var session uint64
	if err := tx.QueryRow(ctx, query, cluster).Scan(&session); err != nil {
		return explain("store reports", err)
	}
	if session == batch.Session {
		return nil // stored before, and sent again because the answer was lost
	}
	return fmt.Errorf("session %d of cluster %s: %w: it is not the newest", batch.Session, cluster, fleet.ErrConflict)
}
