package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/run"
)

// System is the hub itself as a caller: what it does of its own accord leaves no audit row.
var System = fleet.Caller{}

// action is what a caller does to what, for the audit log.
type action struct {
	verb   string // such as "apply"
	object string // such as "Kustomization/apps/app"
	detail string // for people; never a secret
	// dryRun rolls the transaction back: what it would come to is all that is wanted.
	dryRun bool
	// concern is which Placements may come to something else by it.
	concern *concern
}

// commitTimeout bounds a COMMIT, which is never cancelled by its caller since its outcome would be unknown, and a
// ROLLBACK.
const commitTimeout = 10 * time.Second

// retries of a transaction that lost against another one.
const retries = 5

// transact runs f in one transaction on behalf of a caller. A person's change writes its audit row there too. f may
// run again when the transaction lost against another one, so it has no effect outside it. Of a dry run nothing stays.
func (s *Store) transact(ctx context.Context, by fleet.Caller, act action, f func(tx pgx.Tx) error) error {
	return retry(ctx, func() error { return s.transactOnce(ctx, by, act, f) })
}

// errLost marks a transaction that had no effect and may succeed when it is tried again: another one made it fail, or
// its connection was one that the database had closed.
var errLost = errors.New("the transaction was lost")

// retry calls f until it does something else than lose, a few times.
func retry(ctx context.Context, f func() error) error {
	backoff := run.Backoff{Min: 10 * time.Millisecond, Max: 500 * time.Millisecond}
	for n := 0; ; n++ {
		err := f()
		if !errors.Is(err, errLost) || n == retries || run.Sleep(ctx, backoff.Next()) != nil {
			return err
		}
	}
}

func (s *Store) transactOnce(ctx context.Context, by fleet.Caller, act action, f func(tx pgx.Tx) error) error {
	begun, err := s.pool.Begin(ctx)
	if err != nil {
		return lost(explain(act.doing(), err))
	}
	tx := &transaction{Tx: begun}
	defer rollback(ctx, tx) // no effect after a commit
	work := f
	if act.concern != nil {
		work = act.concern.noting(ctx, f)
	}
	if err := work(tx); err != nil {
		return lost(err)
	}
	if act.dryRun {
		return nil
	}
	if by != System {
		if err := audit(ctx, tx, by, act); err != nil {
			return lost(err)
		}
	}
	commit, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
	defer cancel()
	if err := tx.Commit(commit); err != nil {
		return explain(act.doing()+": commit", err) // whether it took effect is not known
	}
	if tx.published {
		s.flush.Set()
	}
	return nil
}

// transaction is one that notes whether it wrote to the outbox: mostly, as with a heartbeat, there is nobody to wake.
type transaction struct {
	pgx.Tx
	published bool
}

// rollback ends a transaction, whether its caller is still there or not, and in bounded time.
func rollback(ctx context.Context, tx pgx.Tx) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
	defer cancel()
	_ = tx.Rollback(ctx) // what cannot be rolled back ends with its connection
}

// lost marks the errors of what has not been committed that another try may not meet.
func lost(err error) error {
	var pg interface{ SQLState() string }
	if errors.Is(err, fleet.ErrUnavailable) || errors.As(err, &pg) && (pg.SQLState() == serializationFailure || pg.SQLState() == deadlockDetected) {
		return fmt.Errorf("%w: %w", errLost, err)
	}
	return err
}

func (a action) doing() string {
	if a.object == "" {
		return a.verb
	}
	return a.verb + " " + a.object
}

// publish writes outbox rows: whoever watches the topics is woken after the commit.
func publish(ctx context.Context, tx pgx.Tx, topics ...string) error {
	const insert = `INSERT INTO outbox (topic) SELECT unnest($1::text[])`
	if t, noting := tx.(*transaction); noting {
		t.published = true
	}
	_, err := tx.Exec(ctx, insert, topics)
	return explain("write the outbox", err)
}
