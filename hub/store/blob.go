package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/fleet"
)

// blobStatement is how many bytes are stored at a time.
const blobStatement = 8 << 20

// Blobs is the blob store: rows in Postgres, and bytes wherever they are kept (content). It implements artifact.Keeper.
type Blobs struct{ store *Store }

var _ artifact.Keeper = (*Blobs)(nil)

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

// insert writes blobs and their rows, these in one transaction, in order of digest.
func (b *Blobs) insert(ctx context.Context, digests []fleet.Digest, blobs map[fleet.Digest][]byte) error {
	begun := time.Now()
	names, err := b.store.content.write(ctx, digests, blobs)
	if err != nil {
		return err
	}
	sizes := make([]int64, len(digests))
	for i, digest := range digests {
		sizes[i] = int64(len(blobs[digest]))
	}
	var unused []place
	err = b.store.transact(ctx, System, action{verb: "store blobs"}, func(tx pgx.Tx) error {
		if time.Since(begun) > writeTime {
			return fmt.Errorf("store blobs: %w: it took too long", fleet.ErrUnavailable)
		}
		if err := b.store.checkContent(ctx, tx); err != nil {
			return err
		}
		const rows = `INSERT INTO blob (digest, size, object) SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::text[])
			ON CONFLICT (digest) DO UPDATE SET used_at = now(), object = CASE WHEN blob.lost THEN EXCLUDED.object ELSE blob.object END, lost = false
			RETURNING digest, coalesce(object, '')`
		written, err := tx.Query(ctx, rows, rawDigests(digests), sizes, names)
		if err != nil {
			return explain("store blobs", err)
		}
		if unused, err = unusedPlaces(written, digests, names); err != nil {
			return explain("store blobs", err)
		}
		return b.store.content.insert(ctx, tx, digests, blobs)
	})
	if err != nil {
		return err // what was written stays: whether the rows are there is not known of every error
	}
	b.store.removeObjects(ctx, unused)
	return nil
}

// unusedPlaces are the objects that were written for rows that another one had written meanwhile.
func unusedPlaces(rows pgx.Rows, digests []fleet.Digest, names []*string) (unused []place, err error) {
	named := map[string]string{}
	var digest []byte
	var object string
	_, err = pgx.ForEachRow(rows, []any{&digest, &object}, func() error {
		named[string(digest)] = object
		return nil
	})
	for i, digest := range digests {
		if names[i] != nil && named[string(digest.Bytes())] != *names[i] {
			unused = append(unused, place{digest: digest, object: *names[i]})
		}
	}
	return unused, err
}

// refreshBlobs locks and changes the stale ones alone.
const refreshBlobs = `WITH stale AS (
		SELECT digest FROM blob WHERE digest = ANY($1) AND used_at < now() - interval '1 hour' ORDER BY digest FOR NO KEY UPDATE)
	UPDATE blob b SET used_at = now() FROM stale WHERE b.digest = stale.digest`

// Missing returns those of the digests that are not stored, in the order given, and refreshes the time of the others.
// Only a stale one is locked, in order of digest, so that fresh ones can be used by many at once. What it finds is fresh
// when it looks, and the sweep takes nothing fresh.
func (b *Blobs) Missing(ctx context.Context, digests []fleet.Digest) ([]fleet.Digest, error) {
	raw := rawDigests(digests)
	stored := make(map[string]bool, len(digests))
	err := b.store.transact(ctx, System, action{verb: "look for blobs"}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, refreshBlobs, raw); err != nil {
			return explain("look for blobs", err)
		}
		rows, err := tx.Query(ctx, `SELECT digest FROM blob WHERE digest = ANY($1) AND NOT lost`, raw)
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
	if found, err = b.read(ctx, digests); err != nil {
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

// read returns those of the blobs that are stored, as they are. It notes which objects are lost, and which are there again.
func (b *Blobs) read(ctx context.Context, digests []fleet.Digest) (found map[fleet.Digest][]byte, err error) {
	var others []place
	err = retry(ctx, func() error {
		found, others, err = b.store.readRows(ctx, digests)
		return lost(err)
	})
	if err != nil || len(others) == 0 {
		return found, err
	}
	o := b.store.objects
	if o == nil {
		return nil, fmt.Errorf("blob %s: %w: it is in object storage, and this hub was started without --blobs", others[0].digest, fleet.ErrConflict)
	}
	read, gone, err := o.read(ctx, others)
	if err != nil {
		return nil, err
	}
	maps.Copy(found, read)
	back := slices.DeleteFunc(others, func(p place) bool {
		_, there := read[p.digest]
		return !p.lost || !there
	})
	return found, errors.Join(b.store.loseObjects(ctx, gone), b.store.findObjects(ctx, back))
}

// PutWhole stores a Manifest's encoding and records which blobs it needs, so that they are kept with it. They follow from
// the encoding: of a whole that is there with its parts, those are recorded already.
func (b *Blobs) PutWhole(ctx context.Context, whole []byte, parts []fleet.Digest) error {
	parts = slices.Clone(parts)
	slices.SortFunc(parts, compareDigests)
	return b.PutNodes(ctx, []artifact.Node{{Digest: fleet.DigestOf(whole), Data: whole, Parts: slices.Compact(parts)}})
}

// PutNodes stores the nodes that it lacks and records which blobs they need, all at once.
func (b *Blobs) PutNodes(ctx context.Context, nodes []artifact.Node) error {
	kept, err := b.Kept(ctx, nodes)
	if err != nil {
		return err
	}
	blobs := map[fleet.Digest][]byte{}
	var wholes, needed [][]byte
	var locked []fleet.Digest
	for _, node := range nodes {
		if kept[node.Digest] || blobs[node.Digest] != nil {
			continue
		}
		blobs[node.Digest] = node.Data
		locked = append(append(locked, node.Digest), node.Parts...)
		for _, part := range node.Parts {
			wholes, needed = append(wholes, node.Digest.Bytes()), append(needed, part.Bytes())
		}
	}
	if len(blobs) == 0 {
		return nil
	}
	if err := b.Put(ctx, blobs); err != nil {
		return err
	}
	act := action{verb: "record the parts of", object: nodes[len(nodes)-1].Digest.String()}
	return b.store.transact(ctx, System, act, func(tx pgx.Tx) error {
		// A row that names a blob locks it. All are locked here first, in order of digest, as by whoever locks several.
		const lock = `SELECT FROM blob WHERE digest = ANY($1) ORDER BY digest FOR KEY SHARE`
		if _, err := tx.Exec(ctx, lock, rawDigests(locked)); err != nil {
			return explain(act.doing(), err)
		}
		const insert = `INSERT INTO blob_part (whole, part) SELECT * FROM unnest($1::bytea[], $2::bytea[]) ON CONFLICT DO NOTHING`
		_, err := tx.Exec(ctx, insert, wholes, needed)
		return explain(act.doing(), err)
	})
}

// Kept returns which of the nodes are stored with all of their parts, and refreshes their time. What object storage lost is
// not stored, so that it is put again.
func (b *Blobs) Kept(ctx context.Context, nodes []artifact.Node) (map[fleet.Digest]bool, error) {
	digests := make([]fleet.Digest, len(nodes))
	for i, node := range nodes {
		digests[i] = node.Digest
	}
	counts := make(map[fleet.Digest]int64, len(nodes))
	err := b.store.transact(ctx, System, action{verb: "look for kept blobs"}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, refreshBlobs, rawDigests(digests)); err != nil {
			return explain("look for kept blobs", err)
		}
		// A Tree of 20,000 files has as many parts, and each has its row: only those that are lost are looked for.
		const query = `SELECT w.digest, (SELECT count(*) FROM blob_part p
				WHERE p.whole = w.digest AND NOT EXISTS (SELECT FROM blob b WHERE b.digest = p.part AND b.lost))
			FROM blob w WHERE w.digest = ANY($1) AND NOT w.lost`
		rows, err := tx.Query(ctx, query, rawDigests(digests))
		if err != nil {
			return explain("look for kept blobs", err)
		}
		var raw []byte
		var count int64
		_, err = pgx.ForEachRow(rows, []any{&raw, &count}, func() error {
			digest, err := fleet.DigestFromBytes(raw)
			counts[digest] = count
			return err
		})
		return explain("look for kept blobs", err)
	})
	if err != nil {
		return nil, err
	}
	kept := make(map[fleet.Digest]bool, len(nodes))
	for _, node := range nodes {
		count, stored := counts[node.Digest]
		kept[node.Digest] = stored && count == int64(len(node.Parts))
	}
	return kept, nil
}

func compareDigests(a, b fleet.Digest) int { return slices.Compare(a[:], b[:]) }

func sortedDigests(blobs map[fleet.Digest][]byte) []fleet.Digest {
	return slices.SortedFunc(maps.Keys(blobs), compareDigests)
}
