package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/pkg/run"
)

// Topics that parts of the hub watch. A wake-up says "look", never "what".
const (
	// TopicObjects: a declared object changed.
	TopicObjects = "objects"
	// TopicSources: what a Source is at changed.
	TopicSources = "sources"
	// TopicApps: an App was built, or could not be.
	TopicApps = "apps"
	// TopicReports: a spoke reported.
	TopicReports = "reports"
	// TopicEvents: something happened that people may watch.
	TopicEvents = "events"
	// TopicRollouts: a Rollout, or what is frozen, changed.
	TopicRollouts = "rollouts"
)

// TopicCluster is woken when what one cluster should have, or is asked, changed.
func TopicCluster(id string) string { return "cluster " + id }

// TopicQuestion is woken when a question was answered.
func TopicQuestion(id string) string { return "question " + id }

// channel of NOTIFY; its payload is a topic.
const channel = "flotilla"

type watchers struct {
	mu     sync.Mutex
	topics map[string][]run.Wake
}

// Watch returns a wake-up that is set whenever one of the topics is published by any replica, and once whenever the
// database connection was lost and regained. stop ends it.
func (s *Store) Watch(topics ...string) (wake run.Wake, stop func()) {
	wake = run.NewWake()
	s.watchers.mu.Lock()
	defer s.watchers.mu.Unlock()
	for _, topic := range topics {
		s.watchers.topics[topic] = append(s.watchers.topics[topic], wake)
	}
	return wake, func() {
		s.watchers.mu.Lock()
		defer s.watchers.mu.Unlock()
		for _, topic := range topics {
			left := slices.DeleteFunc(s.watchers.topics[topic], func(w run.Wake) bool { return w == wake })
			if len(left) == 0 {
				delete(s.watchers.topics, topic)
			} else {
				s.watchers.topics[topic] = left
			}
		}
	}
}

func (w *watchers) wake(topic string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, wake := range w.topics[topic] {
		wake.Set()
	}
}

func (w *watchers) wakeAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, wakes := range w.topics {
		for _, wake := range wakes {
			wake.Set()
		}
	}
}

// Run flushes the outbox and passes notifications on to the watchers until ctx ends.
func (s *Store) Run(ctx context.Context) error {
	return run.All(ctx,
		run.Named{Name: "outbox", Task: s.flushLoop},
		run.Named{Name: "notifications", Task: s.listenLoop},
	)
}

// flushPeriod is how long a row of another replica that died may wait in the outbox.
const flushPeriod = 2 * time.Second

func (s *Store) flushLoop(ctx context.Context) error {
	return run.Every(ctx, flushPeriod, s.flush, func(ctx context.Context) {
		if err := s.flushOutbox(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("outbox not flushed", "err", err)
		}
	})
}

// flushOutbox notifies what the outbox holds. The rows go in the transaction that notifies, so a topic is published
// at least once.
func (s *Store) flushOutbox(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	const flush = `WITH taken AS (DELETE FROM outbox RETURNING topic)
		SELECT pg_notify($1, topic) FROM (SELECT DISTINCT topic FROM taken) AS topics`
	_, err := s.pool.Exec(ctx, flush, channel)
	return explain("flush the outbox", err)
}

func (s *Store) listenLoop(ctx context.Context) error {
	backoff := run.Backoff{Min: 100 * time.Millisecond, Max: 5 * time.Second}
	for {
		err := s.listen(ctx, backoff.Reset)
		if ctx.Err() != nil {
			return nil
		}
		s.log.Warn("database connection lost", "err", err)
		if err := run.Sleep(ctx, backoff.Next()); err != nil {
			return nil
		}
	}
}

// listen passes notifications on until the connection ends.
func (s *Store) listen(ctx context.Context, connected func()) error {
	pooled, err := s.pool.Acquire(ctx)
	if err != nil {
		return explain("connect for notifications", err)
	}
	conn := pooled.Hijack() // a listening connection does not go back to the pool
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, `LISTEN `+channel); err != nil {
		return explain("listen", err)
	}
	if err := s.holdsClaims(ctx, conn); err != nil {
		return err
	}
	connected()
	s.watchers.wakeAll() // what was published meanwhile went unheard
	s.flush.Set()
	for {
		topic, err := s.heard(ctx, conn)
		if err != nil {
			return fmt.Errorf("wait for notifications: %w", errors.Join(err, ctx.Err()))
		}
		s.watchers.wake(topic)
	}
}

// heard returns the next topic. It asks a connection that is silent whether it still is one: of a connection that
// died unnoticed, as when a firewall forgot it, nothing would ever be heard.
func (s *Store) heard(ctx context.Context, conn *pgx.Conn) (topic string, err error) {
	for {
		waiting, cancel := context.WithTimeout(ctx, s.patience)
		notification, err := conn.WaitForNotification(waiting)
		cancel()
		if err == nil {
			return notification.Payload, nil
		}
		if !errors.Is(waiting.Err(), context.DeadlineExceeded) || ctx.Err() != nil {
			return "", err
		}
		asking, cancel := context.WithTimeout(ctx, s.patience)
		err = conn.Ping(asking)
		cancel()
		if err != nil {
			return "", err
		}
	}
}
