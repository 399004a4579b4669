package store_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/artifact/artifacttest"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/test/lab"
)

func TestBlobsAreAStore(t *testing.T) {
	t.Parallel()
	artifacttest.RunStore(t, func(t *testing.T) artifact.Store { return newBundle(t).Blobs() })
}

func TestBlobsAreAKeeper(t *testing.T) {
	t.Parallel()
	artifacttest.RunKeeper(t, func(t *testing.T) artifact.Keeper { return newBundle(t).Blobs() })
}

// connection opens a connection beside the Store's.
func (b *bundle) connection() *pgx.Conn {
	b.t.Helper()
	conn, err := pgx.Connect(b.t.Context(), b.url)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(b.t.Context())) })
	return conn
}

// put stores blobs of these contents and returns their digests, sorted.
func (b *bundle) put(contents ...string) []fleet.Digest {
	b.t.Helper()
	blobs := map[fleet.Digest][]byte{}
	var digests []fleet.Digest
	for _, content := range contents {
		digest := fleet.DigestOf([]byte(content))
		blobs[digest] = []byte(content)
		digests = append(digests, digest)
	}
	if err := b.Blobs().Put(b.t.Context(), blobs); err != nil {
		b.t.Fatal(err)
	}
	slices.SortFunc(digests, func(a, b fleet.Digest) int { return slices.Compare(a[:], b[:]) })
	return digests
}

// A look for blobs that are fresh waits for nobody.
func TestMissingDoesNotWaitForWhoeverUsesTheSameBlobs(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	digests := b.put("a", "b")
	tx, err := b.connection().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
	if _, err := tx.Exec(t.Context(), `SELECT FROM blob FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if missing, err := b.Blobs().Missing(ctx, digests); err != nil || len(missing) != 0 {
		t.Errorf("missing %v, error %v", missing, err)
	}
}

// Whoever locks several blobs locks them in order of digest: PutWhole, whose parts come in order of path, waits for
// the first of them and holds none.
func TestPutWholeWaitsForItsPartsInOrder(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	digests := b.put("a", "b")
	conn := b.connection()
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
	lock := func(digest fleet.Digest) {
		t.Helper()
		if _, err := tx.Exec(t.Context(), `SELECT FROM blob WHERE digest = $1 FOR UPDATE`, digest.Bytes()); err != nil {
			t.Fatal(err)
		}
	}
	lock(digests[0])
	done := make(chan error, 1)
	go func() {
		done <- b.Blobs().PutWhole(t.Context(), []byte("whole"), []fleet.Digest{digests[1], digests[0], digests[1]})
	}()
	watcher := b.connection()
	lab.Eventually(t, time.Minute, "PutWhole waits for a blob", func() error {
		var waiting bool
		const query = `SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE a.datname = current_database() AND NOT l.granted)`
		if err := watcher.QueryRow(t.Context(), query).Scan(&waiting); err != nil || !waiting {
			return errors.Join(err, errors.New("nobody waits"))
		}
		return nil
	})
	lock(digests[1])
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A build that comes to what it came to before puts the same whole again.
func TestAWholeThatIsThereIsPutWithoutItsParts(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	digests := b.put("a", "b")
	if err := b.Blobs().PutWhole(t.Context(), []byte("whole"), digests); err != nil {
		t.Fatal(err)
	}
	tx, err := b.connection().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `SELECT FROM blob WHERE digest = $1 FOR UPDATE`, digests[0].Bytes()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := b.Blobs().PutWhole(ctx, []byte("whole"), digests); err != nil {
		t.Errorf("it waits for a part: %v", err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// Trees that share files are stored and looked for at once, by several replicas.
func TestManyUsersOfTheSameBlobsDoNotDeadlock(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	var contents []string
	for i := range 100 {
		contents = append(contents, fmt.Sprint("file ", i))
	}
	digests := b.put(contents...)
	conn := b.connection()
	group, ctx := errgroup.WithContext(t.Context())
	for n := range 3 {
		shuffled := slices.Clone(digests)
		rand.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		group.Go(func() error {
			for i := range 20 {
				if missing, err := b.Blobs().Missing(ctx, shuffled); err != nil || len(missing) != 0 {
					return fmt.Errorf("missing %v: %w", missing, err)
				}
				if err := b.Blobs().PutWhole(ctx, fmt.Appendf(nil, "tree %d of %d", i, n), shuffled); err != nil {
					return err
				}
			}
			return nil
		})
	}
	group.Go(func() error { // all of them are stale again and again
		for range 20 {
			if _, err := conn.Exec(ctx, `UPDATE blob SET used_at = now() - interval '2 hours' WHERE digest IN (SELECT digest FROM blob ORDER BY digest FOR UPDATE)`); err != nil {
				return err
			}
		}
		return nil
	})
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
}
