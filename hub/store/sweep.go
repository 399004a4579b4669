package store

import (
	"context"
	"encoding/hex"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/minio/minio-go/v7"

	"flotilla.dev/flotilla/pkg/fleet"
)

const (
	// orphanAge is how old an object is that the sweep takes for left over: far older than any whose row is still to come.
	orphanAge = 24 * time.Hour
	// sweepPeriod is how often the storage's list is compared with the table, by whichever replica comes first.
	sweepPeriod = 24 * time.Hour
	// sweepPage is how many objects are compared at a time.
	sweepPage = 1000
)

// removeObjects lets go of objects that no row names any more. What cannot be removed now is found by the sweep.
func (s *Store) removeObjects(ctx context.Context, places []place) {
	if len(places) == 0 || s.objects == nil {
		return
	}
	if err := s.objects.remove(ctx, places); err != nil && ctx.Err() == nil {
		s.log.Warn("objects of blobs that went stay until they are found again", "objects", len(places), "err", err)
	}
}

// loseObjects notes that objects are gone or hold other bytes, so that their blobs are missing from now on and are stored
// again by whoever has them. Their names are kept, so that no sweep takes what is there again, and a read finds it.
func (s *Store) loseObjects(ctx context.Context, places []place) error {
	lost, err := s.noteObjects(ctx, places, true)
	if err == nil && lost > 0 {
		s.log.Error("blobs are lost or damaged in object storage; they are stored again when they are needed, or found when they are back",
			"blobs", lost, "first", places[0].digest)
	}
	return err
}

// findObjects notes that objects are there again that were lost.
func (s *Store) findObjects(ctx context.Context, places []place) error {
	found, err := s.noteObjects(ctx, places, false)
	if err == nil && found > 0 {
		s.log.Info("blobs that were lost are in object storage again", "blobs", found, "first", places[0].digest)
	}
	return err
}

// noteObjects notes whether objects are lost, and returns of how many that is news. Rows that name other objects by now are
// left alone.
func (s *Store) noteObjects(ctx context.Context, places []place, lost bool) (noted int64, err error) {
	if len(places) == 0 {
		return 0, nil
	}
	raw, names := placeColumns(places)
	act := action{verb: "note lost blobs"}
	err = s.transact(ctx, System, act, func(tx pgx.Tx) error {
		const note = `WITH theirs AS (
				SELECT b.digest FROM blob b JOIN unnest($1::bytea[], $2::text[]) AS o (digest, object) USING (digest, object)
				WHERE b.lost <> $3 ORDER BY b.digest FOR NO KEY UPDATE OF b)
			UPDATE blob b SET lost = $3 FROM theirs WHERE b.digest = theirs.digest`
		tag, err := tx.Exec(ctx, note, raw, names, lost)
		noted = tag.RowsAffected()
		return explain(act.doing(), err)
	})
	return noted, err
}

// places are what two columns say.
func places(digests [][]byte, names []string) []place {
	out := make([]place, len(names))
	for i := range names {
		out[i] = place{digest: fleet.Digest(digests[i]), object: names[i]}
	}
	return out
}

func placeColumns(places []place) (raw [][]byte, names []string) {
	for _, p := range places {
		raw, names = append(raw, p.digest.Bytes()), append(names, p.object)
	}
	return raw, names
}

// sweepObjects removes objects that no row names: of writes whose rows never came, and of rows that went while the
// storage was away. It looks once a day.
func (s *Store) sweepObjects(ctx context.Context) error {
	if s.objects == nil {
		return nil
	}
	act := action{verb: "look for objects left over"}
	turn := false
	err := s.transact(ctx, System, act, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE hub SET blobs_listed_at = now() WHERE blobs_listed_at < now() - $1::interval`, sweepPeriod)
		turn = tag.RowsAffected() > 0
		return explain(act.doing(), err)
	})
	if err != nil || !turn {
		return err
	}
	return s.sweepList(ctx, time.Now().Add(-orphanAge))
}

// sweepList goes through the storage's list, and removes what is older than a time and has no row.
func (s *Store) sweepList(ctx context.Context, before time.Time) error {
	o := s.objects
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the list
	var old []place
	removed := 0
	for object := range o.client.ListObjectsIter(ctx, o.config.Bucket, minio.ListObjectsOptions{Prefix: o.blobs(), Recursive: true}) {
		if object.Err != nil {
			err, _ := o.explain(ctx, "list the objects of blobs", object.Err)
			return err
		}
		p, ours := o.place(object.Key)
		if !ours || !object.LastModified.Before(before) {
			continue
		}
		if old = append(old, p); len(old) == sweepPage {
			n, err := s.sweepPage(ctx, old)
			if removed += n; err != nil {
				return err
			}
			old = old[:0]
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	n, err := s.sweepPage(ctx, old)
	if removed += n; removed > 0 {
		s.log.Info("removed objects that no blob names", "objects", removed)
	}
	return err
}

func (s *Store) sweepPage(ctx context.Context, old []place) (removed int, err error) {
	if len(old) == 0 {
		return 0, nil
	}
	const query = `SELECT o.digest, o.object FROM unnest($1::bytea[], $2::text[]) AS o (digest, object)
		WHERE NOT EXISTS (SELECT FROM blob b WHERE b.digest = o.digest AND b.object = o.object)`
	raw, names := placeColumns(old)
	rows, err := s.pool.Query(ctx, query, raw, names)
	if err != nil {
		return 0, explain("look for objects left over", err)
	}
	orphans, err := pgx.CollectRows(rows, scanPlace)
	if err != nil {
		return 0, explain("look for objects left over", err)
	}
	return len(orphans), s.objects.remove(ctx, orphans)
}

func scanPlace(row pgx.CollectableRow) (p place, err error) {
	var raw []byte
	if err := row.Scan(&raw, &p.object); err != nil {
		return p, err
	}
	p.digest, err = fleet.DigestFromBytes(raw)
	return p, err
}

// place is what the key of an object says; other keys are not ours to touch.
func (o *objects) place(key string) (p place, ours bool) {
	rest, below := strings.CutPrefix(key, o.blobs())
	parts := strings.Split(rest, "/")
	if !below || len(parts) != 3 {
		return p, false
	}
	raw, err := hex.DecodeString(parts[1])
	if err != nil {
		return p, false
	}
	digest, err := fleet.DigestFromBytes(raw)
	p = place{digest: digest, object: parts[2]}
	return p, err == nil && o.key(p) == key
}
