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
// again by whoever has them. Rows that name other objects by now are left alone.
func (s *Store) loseObjects(ctx context.Context, places []place) error {
	if len(places) == 0 {
		return nil
	}
	raw, names := placeColumns(places)
	act := action{verb: "note lost blobs"}
	var lost int64
	err := s.transact(ctx, System, act, func(tx pgx.Tx) error {
		const note = `UPDATE blob b SET object = '' FROM unnest($1::bytea[], $2::text[]) AS gone (digest, object)
			WHERE b.digest = gone.digest AND b.object = gone.object`
		tag, err := tx.Exec(ctx, note, raw, names)
		lost = tag.RowsAffected()
		return explain(act.doing(), err)
	})
	if err == nil && lost > 0 {
		s.log.Error("blobs are lost or damaged in object storage; they are stored again when they are needed", "blobs", lost, "first", places[0].digest)
	}
	return err
}

// places are what two columns say.
func places(digests [][]byte, names []string) []place {
	out := make([]place, len(names))
	for i := range names {
		out[i] = place{fleet.Digest(digests[i]), names[i]}
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
	p = place{digest, parts[2]}
	return p, err == nil && o.key(p) == key
}
