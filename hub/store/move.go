package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/pkg/fleet"
)

// movePage bounds the blobs that are moved at a time, which are in memory, by number and moveBytes by their bytes. One at least
// is moved.
const (
	movePage  = 200
	moveBytes = 64 << 20
)

// MoveBlobs moves the bytes of all blobs from where the configuration says they are to another place, nil being the
// database, and marks the database with it. No hub may run meanwhile. Cut off, it goes on when it is called again; until it
// is done, hubs start with the object storage that is one of the two. What it moved away from object storage stays there,
// and can be removed then.
func MoveBlobs(ctx context.Context, config Config, to *Objects) (moved int, err error) {
	from := config.Objects
	if from != nil && to != nil && from.Name() == to.Name() || from == nil && to == nil {
		return 0, fmt.Errorf("move blobs: %w: they are to go where they are", fleet.ErrInvalid)
	}
	s, err := open(ctx, config)
	if err != nil {
		return 0, err
	}
	defer s.Close()
	m := mover{store: s}
	if from != nil {
		if m.from, err = openObjects(*from); err != nil {
			return 0, err
		}
	}
	if to != nil {
		if m.to, err = openObjects(*to); err != nil {
			return 0, err
		}
		if err := s.markObjects(ctx, m.to); err != nil {
			return 0, err
		}
	}
	return m.run(ctx)
}

// mover moves blobs; one of its places may be nil, the database.
type mover struct {
	store    *Store
	from, to *objects
}

func (m mover) run(ctx context.Context) (moved int, err error) {
	recorded := ""
	if err := m.store.pool.QueryRow(ctx, `SELECT blobs FROM hub`).Scan(&recorded); err != nil {
		return 0, explain("look where blobs are", err)
	}
	if recorded != m.name(m.from) && recorded != m.name(m.to) {
		return 0, elsewhere(recorded, m.name(m.from))
	}
	// Rows say of each blob whether its bytes are in them: what was given object storage reads both. So the mark is of the
	// object storage as long as some are there.
	if m.from == nil {
		if err := m.mark(ctx); err != nil {
			return 0, err
		}
	}
	for last := []byte{}; ; {
		page, next, err := m.page(ctx, last)
		if err != nil {
			return moved, err
		}
		if len(next) == 0 {
			break
		}
		last = next
		if err := m.move(ctx, page); err != nil {
			return moved, err
		}
		moved += len(page)
	}
	if m.from != nil {
		return moved, m.mark(ctx)
	}
	return moved, nil
}

func (m mover) name(o *objects) string {
	if o == nil {
		return ""
	}
	return o.name()
}

func (m mover) mark(ctx context.Context) error {
	_, err := m.store.pool.Exec(ctx, `UPDATE hub SET blobs = $1`, m.name(m.to))
	return explain("mark where blobs are", err)
}

// page are the blobs behind a digest that are where they are moved from.
func (m mover) page(ctx context.Context, last []byte) (page []place, next []byte, err error) {
	const query = `SELECT digest, object, lost FROM (
			SELECT digest, object, lost, sum(size) OVER w AS bytes, row_number() OVER w AS number FROM (
				SELECT digest, coalesce(object, '') AS object, lost, size FROM blob
				WHERE digest > $1 AND CASE WHEN $2 THEN object IS NULL AND NOT lost ELSE object IS NOT NULL END ORDER BY digest LIMIT $3) next
			WINDOW w AS (ORDER BY digest ROWS UNBOUNDED PRECEDING)) page
		WHERE number = 1 OR bytes <= $4 ORDER BY digest`
	rows, err := m.store.pool.Query(ctx, query, last, m.from == nil, movePage, moveBytes)
	if err != nil {
		return nil, nil, explain("list blobs", err)
	}
	page, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (p place, err error) {
		var raw []byte
		if err := row.Scan(&raw, &p.object, &p.lost); err != nil {
			return p, err
		}
		p.digest, err = fleet.DigestFromBytes(raw)
		return p, err
	})
	if err != nil || len(page) == 0 {
		return nil, nil, explain("list blobs", err)
	}
	return page, page[len(page)-1].digest.Bytes(), nil
}

// move moves a page: the bytes first, then what rows say of them. What was lost before, and is, stays so: it is moved without
// bytes.
func (m mover) move(ctx context.Context, page []place) error {
	blobs, err := m.read(ctx, page)
	if err != nil {
		return err
	}
	digests, names, lost := make([]fleet.Digest, len(page)), make([]*string, len(page)), make([]bool, len(page))
	for i, p := range page {
		_, there := blobs[p.digest]
		digests[i], lost[i] = p.digest, !there
	}
	switch {
	case m.to != nil && m.from != nil: // under the names that they have
		for i, p := range page {
			if lost[i] {
				continue
			}
			if err := m.to.put(ctx, p, blobs[p.digest]); err != nil {
				return err
			}
		}
		return nil
	case m.to != nil:
		if names, err = m.to.write(ctx, digests, blobs); err != nil {
			return err
		}
	}
	return m.store.transact(ctx, System, action{verb: "move blobs"}, func(tx pgx.Tx) error {
		const rows = `UPDATE blob b SET object = moved.object, lost = moved.lost
			FROM unnest($1::bytea[], $2::text[], $3::boolean[]) AS moved (digest, object, lost) WHERE b.digest = moved.digest`
		if _, err := tx.Exec(ctx, rows, rawDigests(digests), names, lost); err != nil {
			return explain("move blobs", err)
		}
		if m.to == nil {
			return chunks{}.insert(ctx, tx, digests, blobs)
		}
		_, err := tx.Exec(ctx, `DELETE FROM blob_chunk WHERE digest = ANY($1)`, rawDigests(digests))
		return explain("move blobs", err)
	})
}

// read returns the bytes of a page, verified, but for what was lost before.
func (m mover) read(ctx context.Context, page []place) (map[fleet.Digest][]byte, error) {
	digests := make([]fleet.Digest, len(page))
	for i, p := range page {
		digests[i] = p.digest
	}
	if m.from == nil {
		return m.store.Blobs().GetAll(ctx, digests)
	}
	blobs, lost, err := m.from.read(ctx, page)
	if err == nil && len(lost) > 0 {
		err = fmt.Errorf("blob %s: %w: its object is gone or damaged; start a hub, so that it is stored again, and move then", lost[0].digest, fleet.ErrNotFound)
	}
	return blobs, err
}
