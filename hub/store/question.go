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
// it.
func (s *Store) Ask(ctx context.Context, cluster string, app fleet.Key, within time.Duration) (fleet.Question, error) {
	question := fleet.Question{ID: uuid.NewString(), App: app}
	err := s.transact(ctx, System, action{verb: "ask cluster", object: cluster}, func(tx pgx.Tx) error {
		const insert = `INSERT INTO question (id, cluster, ask, app, deadline) VALUES ($1, $2, 'held-prune', $3, now() + $4::interval) RETURNING deadline`
		if err := tx.QueryRow(ctx, insert, question.ID, cluster, app.String(), within).Scan(&question.Deadline); err != nil {
			return explain("store a question", err)
		}
		return publish(ctx, tx, TopicCluster(cluster))
	})
	return question, err
}

// TakeQuestions returns the questions to a cluster that were not sent yet, and marks them as sent.
func (s *Store) TakeQuestions(ctx context.Context, cluster string) ([]fleet.Question, error) {
	const take = `UPDATE question SET sent = true WHERE cluster = $1 AND NOT sent AND deadline > now() RETURNING id::text, app, deadline`
	rows, err := s.pool.Query(ctx, take, cluster)
	if err != nil {
		return nil, explain("take questions", err)
	}
	questions, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (q fleet.Question, err error) {
		var app string
		if err := row.Scan(&q.ID, &app, &q.Deadline); err != nil {
			return q, err
		}
		q.App, err = fleet.ParseKey(app)
		return q, err
	})
	return questions, explain("take questions", err)
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
		const store = `UPDATE question SET answered = true, answer = $3, error = $4
			WHERE id = $1 AND cluster = $2 AND NOT answered AND deadline > now()`
		tag, err := tx.Exec(ctx, store, id, cluster, s.sealer.Seal(answer, []byte("question/"+id)), problem)
		if err != nil {
			return explain("store an answer", err)
		}
		if tag.RowsAffected() == 0 {
			return fmt.Errorf("question %s: %w", id, fleet.ErrNotFound)
		}
		return publish(ctx, tx, TopicQuestion(id))
	})
}

// Answer waits until a question is answered or its deadline has passed, and deletes it. A spoke that did not answer in
// time is fleet.ErrConflict.
func (s *Store) Answer(ctx context.Context, question fleet.Question) ([]byte, error) {
	wake, stop := s.Watch(TopicQuestion(question.ID))
	defer stop()
	ctx, cancel := context.WithDeadline(ctx, question.Deadline)
	defer cancel()
	for {
		answer, err := s.takeAnswer(ctx, question.ID)
		if !errors.Is(err, errUnanswered) {
			return answer, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: the spoke did not answer in time", fleet.ErrConflict)
		case <-wake:
		}
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
	answer, err := s.sealer.Open(sealed, []byte("question/"+id))
	return answer, explain("open an answer", err)
}
