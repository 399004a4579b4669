package store

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Sizes of what goes into one row and into one statement, in bytes.
const (
	blobChunk     = 512 << 10
	blobStatement = 8 << 20
)

// Blobs is the blob store in Postgres; it implements artifact.Store.
type Blobs struct{ store *Store }

// Blobs returns the blob store.
func (s *Store) Blobs() *Blobs { return &Blobs{store: s} }

// Put stores those of the blobs that are not stored yet, and refreshes the time of the others.
func (b *Blobs) Put(ctx context.Context, blobs map[fleet.Digest][]byte) error {
	for digest, data := range blobs {
		if fleet.DigestOf(data) != digest {
			return fmt.Errorf("blob %s: %w: the content has another digest", digest, fleet.ErrInvalid)
		}
	}
	missing, err := b.Missing(ctx, sortedDigests(blobs))
	if err != nil {
		return err
	}
	for len(missing) > 0 {
		n, size := 0, 0
		for n < len(missing) && (n == 0 || size+len(blobs[missing[n]]) <= blobStatement) {
			size += len(blobs[missing[n]])
			n++
		}
		if err := b.insert(ctx, missing[:n], blobs); err != nil {
			return err
		}
		missing = missing[n:]
	}
	return nil
}

// insert writes blobs and their chunks in one transaction, in order of digest.
func (b *Blobs) insert(ctx context.Context, digests []fleet.Digest, blobs map[fleet.Digest][]byte) error {
	var keys, owners, chunks [][]byte
	var sizes []int64
	var numbers []int32
	for _, digest := range digests {
		data := blobs[digest]
		keys, sizes = append(keys, digest.Bytes()), append(sizes, int64(len(data)))
		number := int32(0)
		for chunk := range slices.Chunk(data, blobChunk) {
			owners, numbers, chunks = append(owners, digest.Bytes()), append(numbers, number), append(chunks, chunk)
			number++
		}
	}
	return b.store.transact(ctx, System, action{verb: "store blobs"}, func(tx pgx.Tx) error {
		const rows = `INSERT INTO blob (digest, size) SELECT * FROM unnest($1::bytea[], $2::bigint[])
			ON CONFLICT (digest) DO UPDATE SET used_at = now()`
		if _, err := tx.Exec(ctx, rows, keys, sizes); err != nil {
			return explain("store blobs", err)
		}
		const data = `INSERT INTO blob_chunk (digest, number, data) SELECT * FROM unnest($1::bytea[], $2::int[], $3::bytea[])
			ON CONFLICT DO NOTHING`
		_, err := tx.Exec(ctx, data, owners, numbers, chunks)
		return explain("store blobs", err)
	})
}

// Missing returns those of the digests that are not stored, in the order given, and refreshes the time of the others.
// Only a stale one is locked, in order of digest, so that fresh ones can be used by many at once. What it finds is fresh
// when it looks, and the sweep takes nothing fresh.
func (b *Blobs) Missing(ctx context.Context, digests []fleet.Digest) ([]fleet.Digest, error) {
	raw := rawDigests(digests)
	stored := make(map[string]bool, len(digests))
	err := b.store.transact(ctx, System, action{verb: "look for blobs"}, func(tx pgx.Tx) error {
		const refresh = `WITH stale AS (
				SELECT digest FROM blob WHERE digest = ANY($1) AND used_at < now() - interval '1 hour' ORDER BY digest FOR NO KEY UPDATE)
			UPDATE blob b SET used_at = now() FROM stale WHERE b.digest = stale.digest`
		if _, err := tx.Exec(ctx, refresh, raw); err != nil {
			return explain("look for blobs", err)
		}
		rows, err := tx.Query(ctx, `SELECT digest FROM blob WHERE digest = ANY($1)`, raw)
		if err != nil {
			return explain("look for blobs", err)
		}
		found, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
		for _, digest := range found {
			stored[string(digest)] = true
		}
		return explain("look for blobs", err)
	})
	if err != nil {
		return nil, err
	}
	var missing []fleet.Digest
	for i, digest := range digests {
		if !stored[string(raw[i])] {
			missing = append(missing, digest)
			stored[string(raw[i])] = true // it is named once
		}
	}
	return missing, nil
}

func rawDigests(digests []fleet.Digest) [][]byte {
	raw := make([][]byte, len(digests))
	for i := range digests {
		raw[i] = digests[i][:]
	}
	return raw
}

// Get returns a blob, verified. One that is not stored is fleet.ErrNotFound.
func (b *Blobs) Get(ctx context.Context, digest fleet.Digest) ([]byte, error) {
	all, err := b.GetAll(ctx, []fleet.Digest{digest})
	if err != nil {
		return nil, err
	}
	return all[digest], nil
}

// GetAll returns several blobs, verified. Is one of them not stored, it is fleet.ErrNotFound.
func (b *Blobs) GetAll(ctx context.Context, digests []fleet.Digest) (found map[fleet.Digest][]byte, err error) {
	err = retry(ctx, func() error {
		found, err = b.read(ctx, digests)
		return lost(err)
	})
	if err != nil {
		return nil, err
	}
	for _, digest := range digests {
		data, stored := found[digest]
		switch {
		case !stored:
			return nil, fmt.Errorf("blob %s: %w", digest, fleet.ErrNotFound)
		case fleet.DigestOf(data) != digest:
			return nil, fmt.Errorf("blob %s: %w: what is stored has another digest", digest, fleet.ErrConflict)
		}
	}
	return found, nil
}

// read returns those of the blobs that are stored, as they are.
func (b *Blobs) read(ctx context.Context, digests []fleet.Digest) (map[fleet.Digest][]byte, error) {
	const query = `SELECT b.digest, b.size, coalesce(c.data, '') FROM blob b LEFT JOIN blob_chunk c USING (digest)
		WHERE b.digest = ANY($1) ORDER BY b.digest, c.number`
	rows, err := b.store.pool.Query(ctx, query, rawDigests(digests))
	if err != nil {
		return nil, explain("read blobs", err)
	}
	defer rows.Close()
	found := make(map[fleet.Digest][]byte, len(digests))
	for rows.Next() {
		var key, data []byte
		var size int64
		if err := rows.Scan(&key, &size, &data); err != nil {
			return nil, explain("read blobs", err)
		}
		digest, err := fleet.DigestFromBytes(key)
		if err != nil {
			return nil, err
		}
		if found[digest] == nil {
			found[digest] = make([]byte, 0, size)
		}
		found[digest] = append(found[digest], data...)
	}
	return found, explain("read blobs", rows.Err())
}

// PutWhole stores a Tree's or a Manifest's encoding and records which blobs it needs, so that they are kept with it. They
// follow from the encoding: of a whole that is there with its parts, those are recorded already.
func (b *Blobs) PutWhole(ctx context.Context, whole []byte, parts []fleet.Digest) error {
	digest := fleet.DigestOf(whole)
	if err := b.Put(ctx, map[fleet.Digest][]byte{digest: whole}); err != nil {
		return err
	}
	raw := rawDigests(parts)
	act := action{verb: "record the parts of", object: digest.String()}
	return b.store.transact(ctx, System, act, func(tx pgx.Tx) error {
		var recorded bool
		err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM blob_part WHERE whole = $1)`, digest.Bytes()).Scan(&recorded)
		if err != nil || recorded {
			return explain(act.doing(), err)
		}
		// A row that names a blob locks it. All are locked here first, in order of digest, as by whoever locks several.
		const lock = `SELECT FROM blob WHERE digest = ANY($1) ORDER BY digest FOR KEY SHARE`
		if _, err := tx.Exec(ctx, lock, append(raw, digest[:])); err != nil {
			return explain(act.doing(), err)
		}
		const insert = `INSERT INTO blob_part (whole, part) SELECT DISTINCT $1::bytea, part FROM unnest($2::bytea[]) AS part ON CONFLICT DO NOTHING`
		_, err = tx.Exec(ctx, insert, digest.Bytes(), raw)
		return explain(act.doing(), err)
	})
}

func sortedDigests(blobs map[fleet.Digest][]byte) []fleet.Digest {
	return slices.SortedFunc(maps.Keys(blobs), func(a, b fleet.Digest) int { return slices.Compare(a[:], b[:]) })
}
