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
func (b *Blobs) Missing(ctx context.Context, digests []fleet.Digest) ([]fleet.Digest, error) {
	const refresh = `WITH asked AS (SELECT digest FROM blob WHERE digest = ANY($1) ORDER BY digest FOR UPDATE),
		fresh AS (UPDATE blob SET used_at = now() WHERE digest IN (SELECT digest FROM asked) AND used_at < now() - interval '1 hour')
		SELECT digest FROM asked`
	raw := make([][]byte, len(digests))
	for i, digest := range digests {
		raw[i] = digest.Bytes()
	}
	rows, err := b.store.pool.Query(ctx, refresh, raw)
	if err != nil {
		return nil, explain("look for blobs", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil {
		return nil, explain("look for blobs", err)
	}
	stored := make(map[string]bool, len(found))
	for _, digest := range found {
		stored[string(digest)] = true
	}
	var missing []fleet.Digest
	for i, digest := range digests {
		if !stored[string(raw[i])] {
			missing = append(missing, digest)
		}
	}
	return missing, nil
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
func (b *Blobs) GetAll(ctx context.Context, digests []fleet.Digest) (map[fleet.Digest][]byte, error) {
	const query = `SELECT b.digest, b.size, coalesce(c.data, '') FROM blob b LEFT JOIN blob_chunk c USING (digest)
		WHERE b.digest = ANY($1) ORDER BY b.digest, c.number`
	raw := make([][]byte, len(digests))
	for i, digest := range digests {
		raw[i] = digest.Bytes()
	}
	rows, err := b.store.pool.Query(ctx, query, raw)
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
	if err := rows.Err(); err != nil {
		return nil, explain("read blobs", err)
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

// PutWhole stores a Tree's or a Manifest's encoding and records which blobs it needs, so that they are kept with it.
func (b *Blobs) PutWhole(ctx context.Context, whole []byte, parts []fleet.Digest) error {
	digest := fleet.DigestOf(whole)
	if err := b.Put(ctx, map[fleet.Digest][]byte{digest: whole}); err != nil {
		return err
	}
	raw := make([][]byte, len(parts))
	for i, part := range parts {
		raw[i] = part.Bytes()
	}
	const insert = `INSERT INTO blob_part (whole, part) SELECT $1, part FROM unnest($2::bytea[]) AS part ON CONFLICT DO NOTHING`
	_, err := b.store.pool.Exec(ctx, insert, digest.Bytes(), raw)
	return explain("record the parts of "+digest.String(), err)
}

func sortedDigests(blobs map[fleet.Digest][]byte) []fleet.Digest {
	return slices.SortedFunc(maps.Keys(blobs), func(a, b fleet.Digest) int { return slices.Compare(a[:], b[:]) })
}
