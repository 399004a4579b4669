package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/pkg/fleet"
)

// OpenSession starts the newest session of a cluster. held is the state that its spoke says it has: one that this hub
// never issued means that the hub is behind the spoke, and puts the cluster in safe mode. A state without digest is
// the spoke's high-water mark. A spoke in another Kubernetes cluster than the one that enrolled is fleet.ErrDenied.
func (s *Store) OpenSession(ctx context.Context, cluster string, held fleet.StateID, facts fleet.ClusterFacts) (fleet.Session, error) {
	session := fleet.Session{Cluster: cluster}
	raw, err := json.Marshal(facts)
	if err != nil {
		return session, err
	}
	err = s.transact(ctx, System, action{verb: "open a session of cluster", object: cluster}, func(tx pgx.Tx) error {
		const open = `UPDATE cluster SET session = session + 1, sequence = 0, connected = true, last_seen = now(), facts = $2,
				kube_system_uid = coalesce(nullif($3, ''), kube_system_uid)
			WHERE id = $1 AND (kube_system_uid = '' OR $3 IN ('', kube_system_uid))
			RETURNING session, safe_mode, epoch, version, digest, ` + isNews
		var known fleet.StateID
		var digest []byte
		var news bool
		err := tx.QueryRow(ctx, open, cluster, raw, facts.KubeSystemUID).
			Scan(&session.Number, &session.SafeMode, &known.Epoch, &known.Version, &digest, &news)
		if errors.Is(err, pgx.ErrNoRows) {
			return whyNotOpened(ctx, tx, cluster, facts)
		}
		if err != nil {
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

// whyNotOpened says why there is no such cluster: none of that id, or a copy of its spoke's Secret elsewhere, which
// must not take the session from the one that enrolled.
func whyNotOpened(ctx context.Context, tx pgx.Tx, cluster string, facts fleet.ClusterFacts) error {
	var name, enrolled string
	if err := tx.QueryRow(ctx, `SELECT name, kube_system_uid FROM cluster WHERE id = $1`, cluster).Scan(&name, &enrolled); err != nil {
		return explain("open a session", err)
	}
	return fmt.Errorf("Cluster/%s: %w: it enrolled from the Kubernetes cluster whose kube-system has the UID %s, and this is %s: was the spoke's Secret copied? Register this one under a name of its own, or with --rejoin in the other's place",
		name, fleet.ErrDenied, enrolled, facts.KubeSystemUID)
}

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
