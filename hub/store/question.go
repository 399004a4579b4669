package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Ask stores a question to a cluster's spoke, to be answered within a time. The replica that holds the session sends
// it. One that a person asks is in the audit log.
func (s *Store) Ask(ctx context.Context, by fleet.Caller, cluster string, ask fleet.Ask, within time.Duration) (fleet.Question, error) {
	question := fleet.Question{ID: uuid.NewString(), Ask: ask}
	if len(ask.Documents) > fleet.MaxAsked {
		return question, fmt.Errorf("%w: the documents have %d bytes, compressed, and %d are allowed", fleet.ErrInvalid, len(ask.Documents), fleet.MaxAsked)
	}
	app := ""
	if !ask.App.IsZero() {
		app = ask.App.String()
	}
	act := action{verb: "ask", object: "Cluster/" + cluster, detail: auditedAsk(ask)}
	err := s.transact(ctx, by, act, func(tx pgx.Tx) error {
		const insert = `INSERT INTO question (id, cluster, ask, app, asked, deadline)
			SELECT $1, id, $3, $4, $5, now() + $6::interval FROM cluster WHERE name = $2 RETURNING cluster::text, deadline`
		var id string
		err := tx.QueryRow(ctx, insert, question.ID, cluster, ask.What, app, s.sealer.Seal(ask.Encode(), askedAs(question.ID)), within).Scan(&id, &question.Deadline)
		if errors.Is(err, pgx.ErrNoRows) {
			return fmt.Errorf("Cluster/%s: %w", cluster, fleet.ErrNotFound)
		}
		if err != nil {
			return explain("store a question", err)
		}
		return publish(ctx, tx, TopicCluster(id))
	})
	return question, err
}

// auditedAsk says what was asked, without the documents.
func auditedAsk(ask fleet.Ask) string {
	object := ask.App.Words()
	if ask.App.IsZero() {
		object = ask.Word + "/" + ask.Namespace + "/" + ask.Name
	}
	return detail(ask.What+" of "+object, when(ask.Drift, "drift only"), when(len(ask.Documents) > 0, "with documents of the caller"))
}

// askedAs and answeredAs bind what is sealed to its row and to its column.
func askedAs(id string) []byte    { return []byte("asked/" + id) }
func answeredAs(id string) []byte { return []byte("question/" + id) }

// TakeQuestions returns the questions to a cluster that were not sent yet, and marks them as sent.
func (s *Store) TakeQuestions(ctx context.Context, cluster string) ([]fleet.Question, error) {
	const take = `UPDATE question SET sent = true WHERE cluster = $1 AND NOT sent AND deadline > now() RETURNING id::text, ask, app, asked, deadline`
	rows, err := s.pool.Query(ctx, take, cluster)
	if err != nil {
		return nil, explain("take questions", err)
	}
	questions, err := pgx.CollectRows(rows, s.scanQuestion)
	return questions, explain("take questions", err)
}

func (s *Store) scanQuestion(row pgx.CollectableRow) (q fleet.Question, err error) {
	var app string
	var sealed []byte
	if err := row.Scan(&q.ID, &q.Ask.What, &app, &sealed, &q.Deadline); err != nil {
		return q, err
	}
	if sealed == nil { // asked by a hub of before, which seals nothing
		q.Ask.App, err = fleet.ParseKey(app)
		return q, err
	}
	asked, err := s.sealer.Open(sealed, askedAs(q.ID))
	if err != nil {
		return q, err
	}
	q.Ask, err = fleet.DecodeAsk(asked)
	return q, err
}

// StoreAnswer stores what a cluster's spoke answered, sealed; problem is set instead when it could not answer. A
// question of another cluster, or one nobody waits for, is fleet.ErrNotFound.
func (s *Store) StoreAnswer(ctx context.Context, cluster, id string, answer []byte, problem string) error {
	if len(answer) > fleet.MaxAnswer {
		return fmt.Errorf("answer of %d bytes: %w: at most %d are taken", len(answer), fleet.ErrInvalid, fleet.MaxAnswer)
	}
	if uuid.Validate(id) != nil {
		return fmt.Errorf("question %q: %w", id, fleet.ErrNotFound)
	}
	return s.transact(ctx, System, action{verb: "store an answer"}, func(tx pgx.Tx) error {
		const store = `UPDATE question SET answered = true, answer = $3, error = $4, asked = NULL
			WHERE id = $1 AND cluster = $2 AND NOT answered AND deadline > now()`
		tag, err := tx.Exec(ctx, store, id, cluster, s.sealer.Seal(answer, answeredAs(id)), problem)
		if err != nil {
			return explain("store an answer", err)
		}
		if tag.RowsAffected() == 0 {
			return fmt.Errorf("question %s: %w", id, fleet.ErrNotFound)
		}
		return publish(ctx, tx, TopicQuestion(id))
	})
}

// Answer waits until a question is answered, its deadline has passed or ctx ends, and deletes it. A spoke that did not
// answer in time is fleet.ErrConflict.
func (s *Store) Answer(ctx context.Context, question fleet.Question) ([]byte, error) {
	wake, stop := s.Watch(TopicQuestion(question.ID))
	defer stop()
	waiting, cancel := context.WithDeadline(ctx, question.Deadline)
	defer cancel()
	for {
		answer, err := s.takeAnswer(waiting, question.ID)
		if err != nil && waiting.Err() != nil {
			s.dropQuestion(ctx, question.ID)
			return nil, fmt.Errorf("%w: the spoke did not answer in time: give it a longer timeout, or see how the cluster is", fleet.ErrConflict)
		}
		if !errors.Is(err, errUnanswered) {
			return answer, err
		}
		select {
		case <-waiting.Done():
		case <-wake:
		}
	}
}

// dropQuestion deletes a question that nobody waits for any more. Should that fail, retention does it.
func (s *Store) dropQuestion(ctx context.Context, id string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
	defer cancel()
	if _, err := s.pool.Exec(ctx, `DELETE FROM question WHERE id = $1`, id); err != nil {
		s.log.Debug("a question is not deleted yet", "id", id, "err", err)
	}
}

var errUnanswered = errors.New("not answered yet")

func (s *Store) takeAnswer(ctx context.Context, id string) ([]byte, error) {
	const take = `DELETE FROM question WHERE id = $1 AND answered RETURNING answer, error`
	var sealed []byte
	var problem string
	err := s.pool.QueryRow(ctx, take, id).Scan(&sealed, &problem)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, errUnanswered
	case err != nil:
		return nil, explain("read an answer", err)
	case problem != "":
		return nil, fmt.Errorf("%w: %s", fleet.ErrConflict, problem)
	}
	answer, err := s.sealer.Open(sealed, answeredAs(id))
	return answer, explain("open an answer", err)
}
