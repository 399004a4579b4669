package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/pkg/fleet"
)

// content keeps the bytes of new blobs. Which blobs there are, what reaches them and when they were last used is in the
// tables, whatever keeps the bytes; and so is, row by row, where they are.
//
// No row names bytes that are not there, but for those that are lost: they are written before it, or with it, and removed
// after it. What is written for a row that never comes, or stays when one goes, is found later (sweepObjects).
type content interface {
	// write keeps bytes ahead of their rows, and returns what the rows say of where: the name of an object, or nil.
	write(ctx context.Context, digests []fleet.Digest, blobs map[fleet.Digest][]byte) ([]*string, error)
	// insert keeps bytes in the transaction of their rows.
	insert(ctx context.Context, tx pgx.Tx, digests []fleet.Digest, blobs map[fleet.Digest][]byte) error
	// name is what the database is marked with, so that all replicas mean the same one.
	name() string
}

// place is where an object is that holds a blob, or was when it was last read: lost.
type place struct {
	digest fleet.Digest
	object string
	lost   bool
}

// bindContent makes sure that this hub keeps blobs where the database says they are. With an empty store it says that
// from now on.
func (s *Store) bindContent(ctx context.Context) error {
	if s.objects != nil {
		if err := s.markObjects(ctx, s.objects); err != nil {
			return err
		}
	}
	act := action{verb: "look where blobs are"}
	return s.transact(ctx, System, act, func(tx pgx.Tx) error {
		var recorded string
		var empty bool
		const query = `SELECT blobs, NOT EXISTS (SELECT FROM blob) FROM hub FOR UPDATE`
		if err := tx.QueryRow(ctx, query).Scan(&recorded, &empty); err != nil {
			return explain(act.doing(), err)
		}
		switch {
		case recorded == s.content.name():
			return nil
		case empty:
			_, err := tx.Exec(ctx, `UPDATE hub SET blobs = $1`, s.content.name())
			return explain(act.doing(), err)
		}
		return elsewhere(recorded, s.content.name())
	})
}

// checkContent refuses to add to a store that the database's blobs were moved away from, or are not in yet.
func (s *Store) checkContent(ctx context.Context, tx pgx.Tx) error {
	var recorded string
	if err := tx.QueryRow(ctx, `SELECT blobs FROM hub`).Scan(&recorded); err != nil {
		return explain("look where blobs are", err)
	}
	if recorded != s.content.name() {
		return elsewhere(recorded, s.content.name())
	}
	return nil
}

// elsewhere says that the database's blobs are not where the hub was told.
func elsewhere(recorded, given string) error {
	const move = "move them while no hub runs (flotilla-hub blobs move)"
	switch {
	case recorded == "":
		return fmt.Errorf("%w: the blobs of this database are in the database, not in %s: start every hub without --blobs, or %s", fleet.ErrConflict, given, move)
	case given == "":
		return fmt.Errorf("%w: the blobs of this database are in %s: start every hub with --blobs for it, or %s", fleet.ErrConflict, recorded, move)
	}
	return fmt.Errorf("%w: the blobs of this database are in %s, not in %s: start every hub with --blobs for the first, or %s", fleet.ErrConflict, recorded, given, move)
}
