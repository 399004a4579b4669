package store

import (
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
)

// putEvents numbers events of each Rollout after those that are there.
func putEvents(batch *pgx.Batch, now time.Time, events []rollout.Event) {
	if len(events) == 0 {
		return
	}
	const write = `WITH told AS (
			SELECT e.*, row_number() OVER (PARTITION BY e.rollout ORDER BY e.place) AS n FROM jsonb_to_recordset($2)
				AS e (rollout text, place int, type text, actor text, cluster text, wave text, gate text, reason text, message text)
		), counted AS (
			UPDATE rollout r SET last_event = last_event + t.n FROM (SELECT rollout, count(*) AS n FROM told GROUP BY rollout) t WHERE r.id = t.rollout
				RETURNING r.id, r.last_event - t.n AS base
		)
		INSERT INTO rollout_event (rollout, number, at, type, actor, cluster, wave, gate, reason, message)
			SELECT c.id, c.base + t.n, $1::timestamptz, t.type, coalesce(t.actor, ''), coalesce(t.cluster, ''), coalesce(t.wave, ''), coalesce(t.gate, ''),
				coalesce(t.reason, ''), coalesce(t.message, '') FROM told t JOIN counted c ON c.id = t.rollout`
	type row struct {
		Rollout string `json:"rollout"`
		Place   int    `json:"place"`
		Type    string `json:"type"`
		Actor   string `json:"actor,omitempty"`
		Cluster string `json:"cluster,omitempty"`
		Wave    string `json:"wave,omitempty"`
		Gate    string `json:"gate,omitempty"`
		Reason  string `json:"reason,omitempty"`
		Message string `json:"message,omitempty"`
	}
	rows := make([]row, len(events))
	for i, e := range events {
		rows[i] = row{e.Rollout, i, e.Type, e.Actor, e.Cluster, e.Wave, e.Gate, e.Reason, shortened(e.Message)}
	}
	batch.Queue(write, now, rows)
}

// putNews has everyone told who watches the App: of what happened outside of a Rollout, of where each Rollout is, and of
// what people had happen.
func putNews(batch *pgx.Batch, app fleet.Key, now time.Time, events []rollout.Event) {
	var reasons, messages, clusters []string
	var warnings []bool
	for _, e := range events {
		reason, warning := newsOf(e)
		if reason == "" {
			continue
		}
		reasons, messages, clusters, warnings = append(reasons, reason), append(messages, shortened(newsText(e))), append(clusters, e.Cluster), append(warnings, warning)
	}
	if len(reasons) == 0 {
		return
	}
	const write = `INSERT INTO event (at, warning, reason, message, kind, namespace, name, cluster, object)
		SELECT $1::timestamptz, warning, reason, message, $2, $3, $4, cluster, ''
			FROM unnest($5::boolean[], $6::text[], $7::text[], $8::text[]) WITH ORDINALITY AS n (warning, reason, message, cluster, place) ORDER BY place`
	batch.Queue(write, now, app.Kind, app.Namespace, app.Name, warnings, reasons, messages, clusters)
}

// newsOf is the reason of an event for everyone, and whether it is a warning; empty: it is for those alone who follow the
// Rollout.
func newsOf(e rollout.Event) (reason string, warning bool) {
	switch rollout.Phase(e.Type) {
	case rollout.Halted, rollout.RollingBack, rollout.RollbackFailed, rollout.Paused:
		return "Rollout" + e.Type, true
	case rollout.Running, rollout.Succeeded, rollout.RolledBack, rollout.Cancelled, rollout.Superseded, "Started":
		return "Rollout" + e.Type, false
	case "CatchUp", "CaughtUp", "Prune":
		return e.Type, false
	case "CandidateIsBad", "CatchUpFailed":
		return e.Type, true
	case "Approved", "Rejected", "GateOverridden", "ClusterSkipped":
		return "Rollout" + e.Type, false
	case "ClusterPending":
		if byPerson(e) {
			return "RolloutClusterRetried", false
		}
	}
	return "", false
}

// newsText is an event for everyone: of which Rollout, by whom, where in it, and what is said of it.
func newsText(e rollout.Event) string {
	head, text := e.Rollout, detail(e.Reason, e.Message)
	if byPerson(e) { // which is all that the reason says
		head, text = detail(e.Rollout, "by "+e.Actor), e.Message
	}
	if e.Gate != "" {
		head += ": wave " + e.Wave + ": gate " + e.Gate
	}
	return strings.TrimPrefix(strings.TrimSuffix(head+": "+text, ": "), ": ")
}

func byPerson(e rollout.Event) bool { return e.Actor != "" && e.Actor != rollout.System }
