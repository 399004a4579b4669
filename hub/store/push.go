package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
)

// PushArtifact makes what was pushed the artifact of an ExternalArtifact, which it declares as given if it is not there,
// and returns the object as stored. Unchanged means that it was at that Revision with those files already. The Tree must
// be stored before. A dry run stores nothing.
func (s *Store) PushArtifact(ctx context.Context, by fleet.Caller, object *resource.Object, pushed fleet.Pushed, dryRun bool) (stored *resource.Object, change resource.Change, err error) {
	m := object.Metadata
	act := action{verb: "push", object: object.String(), detail: string(pushed.Revision), dryRun: dryRun}
	err = s.transact(ctx, by, act, func(tx pgx.Tx) error {
		change = resource.Unchanged
		stored, err = lockObject(ctx, tx, object.Kind, m.Namespace, m.Name)
		if errors.Is(err, fleet.ErrNotFound) {
			if change, err = s.writeObject(ctx, tx, nil, object); err != nil && !errors.Is(err, errAppeared) { // by another push
				return err
			}
			stored, err = lockObject(ctx, tx, object.Kind, m.Namespace, m.Name)
		}
		if err != nil {
			return err
		}
		if dryRun { // its Tree is not stored, and no row can name it
			change, err = foresee(ctx, tx, stored, pushed, change)
			return err
		}
		moved, err := movePushed(ctx, tx, stored, pushed)
		if err == nil {
			err = notePush(ctx, tx, stored)
		}
		switch {
		case err != nil:
			return err
		case !moved:
			return nil
		case change == resource.Unchanged:
			change = resource.Configured
		}
		event := fleet.FleetEvent{At: time.Now(), Kind: object.Kind, Namespace: m.Namespace, Name: m.Name, Reason: "NewArtifact",
			Message: fmt.Sprintf("stored artifact for revision '%s': %d files", pushed.Revision, pushed.Files)}
		if err := insertEvent(ctx, tx, event); err != nil {
			return err
		}
		return publish(ctx, tx, TopicObjects, TopicSources, TopicEvents)
	})
	return stored, change, err
}

// isAsPushed says in SQL that row s of source is at the Revision $4 and the Tree $5 with the detail $6, whenever it was made.
const isAsPushed = `(s.revision = $4 AND s.tree IS NOT DISTINCT FROM $5 AND s.detail #- ARRAY['metadata', '` + fleet.CreatedAnnotation + `']
	IS NOT DISTINCT FROM $6::jsonb #- ARRAY['metadata', '` + fleet.CreatedAnnotation + `'])`

// movePushed moves the row of source, and reports whether it was elsewhere.
func movePushed(ctx context.Context, tx pgx.Tx, object *resource.Object, pushed fleet.Pushed) (bool, error) {
	detail, err := json.Marshal(pushed.Detail)
	if err != nil {
		return false, err
	}
	const move = `INSERT INTO source AS s (kind, namespace, name, revision, tree, detail, tree_blob, fetched_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, now())
		ON CONFLICT (kind, namespace, name) DO UPDATE SET revision = $4, tree = $5, detail = $6, tree_blob = $7,
			fetched_at = now(), reason = '', message = '', failure = ''
		WHERE NOT ` + isAsPushed + ` OR s.tree_blob IS DISTINCT FROM $7`
	m := object.Metadata
	tag, err := tx.Exec(ctx, move, object.Kind, m.Namespace, m.Name, pushed.Revision, pushed.Tree.Bytes(), detail, pushed.TreeBlob.Bytes())
	return tag.RowsAffected() > 0, explain("push "+object.String(), err)
}

// notePush records that somebody pushed, whatever.
func notePush(ctx context.Context, tx pgx.Tx, object *resource.Object) error {
	const note = `UPDATE source SET pushed_at = now(), observed_generation = $4 WHERE kind = $1 AND namespace = $2 AND name = $3`
	m := object.Metadata
	_, err := tx.Exec(ctx, note, object.Kind, m.Namespace, m.Name, m.Generation)
	return explain("push "+object.String(), err)
}

// foresee says what pushing would come to.
func foresee(ctx context.Context, tx pgx.Tx, object *resource.Object, pushed fleet.Pushed, change resource.Change) (resource.Change, error) {
	detail, err := json.Marshal(pushed.Detail)
	if err != nil || change != resource.Unchanged {
		return change, err
	}
	const look = `SELECT EXISTS (SELECT FROM source s WHERE s.kind = $1 AND s.namespace = $2 AND s.name = $3 AND ` + isAsPushed + `)`
	var same bool
	m := object.Metadata
	err = tx.QueryRow(ctx, look, object.Kind, m.Namespace, m.Name, pushed.Revision, pushed.Tree.Bytes(), detail).Scan(&same)
	if err == nil && !same {
		change = resource.Configured
	}
	return change, explain("push "+object.String(), err)
}
