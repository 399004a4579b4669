package store

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/pkg/fleet"
)

// blobChunk is how many bytes go into one row.
const blobChunk = 512 << 10

// chunks keep the bytes of blobs in rows of a table of their own.
type chunks struct{}

var _ content = chunks{}

func (chunks) name() string { return "" }

func (chunks) write(_ context.Context, digests []fleet.Digest, _ map[fleet.Digest][]byte) ([]*string, error) {
	return make([]*string, len(digests)), nil
}

func (chunks) insert(ctx context.Context, tx pgx.Tx, digests []fleet.Digest, blobs map[fleet.Digest][]byte) error {
	var owners, data [][]byte
	var numbers []int32
	for _, digest := range digests {
		number := int32(0)
		for chunk := range slices.Chunk(blobs[digest], blobChunk) {
			owners, numbers, data = append(owners, digest.Bytes()), append(numbers, number), append(data, chunk)
			number++
		}
	}
	const insert = `INSERT INTO blob_chunk (digest, number, data) SELECT * FROM unnest($1::bytea[], $2::int[], $3::bytea[])
		ON CONFLICT DO NOTHING`
	_, err := tx.Exec(ctx, insert, owners, numbers, data)
	return explain("store blobs", err)
}

// readRows returns those of the blobs that are stored in rows, as they are, and where the others are.
func (s *Store) readRows(ctx context.Context, digests []fleet.Digest) (found map[fleet.Digest][]byte, others []place, err error) {
	const query = `SELECT b.digest, b.size, b.object, b.lost, coalesce(c.data, '') FROM blob b LEFT JOIN blob_chunk c ON c.digest = b.digest AND b.object IS NULL
		WHERE b.digest = ANY($1) ORDER BY b.digest, c.number`
	rows, err := s.pool.Query(ctx, query, rawDigests(digests))
	if err != nil {
		return nil, nil, explain("read blobs", err)
	}
	defer rows.Close()
	found = make(map[fleet.Digest][]byte, len(digests))
	for rows.Next() {
		var key, data []byte
		var size int64
		var object *string
		var lost bool
		if err := rows.Scan(&key, &size, &object, &lost, &data); err != nil {
			return nil, nil, explain("read blobs", err)
		}
		digest, err := fleet.DigestFromBytes(key)
		switch {
		case err != nil:
			return nil, nil, err
		case object != nil:
			others = append(others, place{digest, *object, lost})
			continue
		case lost: // moved to rows without its bytes
			continue
		case found[digest] == nil:
			found[digest] = make([]byte, 0, size)
		}
		found[digest] = append(found[digest], data...)
	}
	return found, others, explain("read blobs", rows.Err())
}
