package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"reflect"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/resource"
)

// ApplyObject declares an object and returns it as stored, with what the change means for the fleet. A change that
// nobody confirmed leaves what it deletes to the prune guards; confirm, when given, must be the number of clusters in
// which it deletes, or of all clusters where it means every one: fleet.ErrConflict otherwise.
func (s *Store) ApplyObject(ctx context.Context, by fleet.Caller, object *resource.Object, order fleet.Order) (*resource.Object, resource.Change, fleet.Impact, error) {
	act := action{verb: "apply", object: object.String(), detail: confirmed(order), dryRun: order.DryRun,
		concern: concernOf(object.Kind, object.Metadata.Namespace, object.Metadata.Name)}
	var stored *resource.Object
	var change resource.Change
	var impact fleet.Impact
	err := s.transact(ctx, by, act, func(tx pgx.Tx) error {
		old, err := lockObject(ctx, tx, object.Kind, object.Metadata.Namespace, object.Metadata.Name)
		if err != nil && !errors.Is(err, fleet.ErrNotFound) {
			return err
		}
		if err := s.admit(ctx, tx, old, object); err != nil {
			return err
		}
		if change, err = s.writeObject(ctx, tx, old, object); err != nil {
			return err
		}
		if err := s.makeChart(ctx, tx, object); err != nil {
			return err
		}
		if object.Kind == resource.Cluster.Name {
			if err := ensureCluster(ctx, tx, object.Metadata.Name); err != nil {
				return err
			}
		}
		if stored, err = getObject(ctx, tx, object.Kind, object.Metadata.Namespace, object.Metadata.Name); err != nil {
			return err
		}
		if change != resource.Unchanged {
			if err := refuseLarge(stored); err != nil {
				return err
			}
			if impact, err = settleImpact(ctx, tx, old, stored, order); err != nil {
				return err
			}
		}
		if change == resource.Unchanged {
			return nil
		}
		if err := s.bindReceivers(ctx, tx, object.Kind, object.Metadata.Namespace, object.Metadata.Name); err != nil {
			return err
		}
		return publish(ctx, tx, TopicObjects)
	})
	if err != nil {
		return nil, "", impact, err
	}
	return stored, change, impact, nil
}

// maxObject bounds an object as it is sent, which is also how Kubernetes stores it at most: several go into a message, or one
// and what is made of it.
const maxObject = 3 << 19

// refuseLarge looks at what was stored: a database writes numbers out in full.
func refuseLarge(stored *resource.Object) error {
	raw, err := json.Marshal(stored)
	if err == nil && len(raw) > maxObject {
		err = fmt.Errorf("%s: %w: it has %d bytes, with its numbers written out in full; %d are allowed", stored, fleet.ErrInvalid, len(raw), maxObject)
	}
	return err
}

// errAppeared: what was not there is declared by somebody else now.
var errAppeared = fmt.Errorf("%w: it was declared by somebody else just now: try again", fleet.ErrConflict)

// writeObject inserts or updates the declared part, and grows the generation when the spec changed, or what counts like it.
func (s *Store) writeObject(ctx context.Context, tx pgx.Tx, old, object *resource.Object) (resource.Change, error) {
	sealed, sameSecret, err := s.sealSecret(ctx, tx, old, object)
	if err != nil {
		return "", err
	}
	m := object.Metadata
	spec, err := storedSpec(object)
	if err != nil {
		return "", err
	}
	if old == nil {
		const insert = `INSERT INTO object (home, kind, namespace, name, labels, annotations, spec, sealed)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
			ON CONFLICT (home, kind, namespace, name) DO UPDATE SET uid = gen_random_uuid(), generation = object.generation + 1,
				labels = $5, annotations = $6, spec = $7, sealed = $8, created_at = now(), deleting_at = NULL, deleted_at = NULL, deletion = NULL
			WHERE object.deleted_at IS NOT NULL`
		tag, err := tx.Exec(ctx, insert, fleet.HubHome, object.Kind, m.Namespace, m.Name, orEmpty(m.Labels), orEmpty(m.Annotations), spec, sealed)
		if err == nil && tag.RowsAffected() == 0 { // what stands there now, nobody has looked at
			return resource.Unchanged, fmt.Errorf("%s: %w", object, errAppeared)
		}
		err = explain("insert "+object.String(), err)
		if errors.Is(err, fleet.ErrExists) { // by its key, which is unique too: two inserts at once may meet there first
			err = fmt.Errorf("%w: %w", errLost, err)
		}
		return resource.Created, err
	}
	oldSpec, err := storedSpec(old)
	if err != nil {
		return "", err
	}
	sameSpec := sameSecret && sameJSON(oldSpec, spec) && sameRelease(old, object)
	if sameSpec && maps.Equal(old.Metadata.Labels, m.Labels) && maps.Equal(old.Metadata.Annotations, m.Annotations) {
		return resource.Unchanged, nil
	}
	const update = `UPDATE object SET labels = $5, annotations = $6, spec = $7, sealed = $8, generation = generation + $9
		WHERE home = $1 AND kind = $2 AND namespace = $3 AND name = $4`
	grow := 1
	if sameSpec {
		grow = 0
	}
	_, err = tx.Exec(ctx, update, fleet.HubHome, object.Kind, m.Namespace, m.Name, orEmpty(m.Labels), orEmpty(m.Annotations), spec, sealed, grow)
	return resource.Configured, explain("update "+object.String(), err)
}

// sameRelease reports whether the annotations are the same that count like fields of the spec.
func sameRelease(a, b *resource.Object) bool {
	return !slices.ContainsFunc(flux.ReleaseAnnotations, func(name string) bool {
		return a.Metadata.Annotations[name] != b.Metadata.Annotations[name]
	})
}

// accountSpec is what a ServiceAccount's spec column holds.
type accountSpec struct {
	ImagePullSecrets []flux.SecretRef `json:"imagePullSecrets,omitempty"`
}

// storedSpec is what the spec column holds.
func storedSpec(o *resource.Object) (json.RawMessage, error) {
	switch {
	case o.Kind == resource.Secret.Name:
		return json.Marshal(secretSpec{Type: o.Type})
	case o.Kind == resource.ServiceAccount.Name:
		return json.Marshal(accountSpec{ImagePullSecrets: o.ImagePullSecrets})
	case len(o.Spec) == 0:
		return json.RawMessage("{}"), nil
	}
	return o.Spec, nil
}

// Object returns a declared object without its status; a Secret without its content.
func (s *Store) Object(ctx context.Context, kind, namespace, name string) (*resource.Object, error) {
	return getObject(ctx, s.pool, kind, namespace, name)
}

// Objects returns the selected objects by namespace and name, and the horizon of the read.
func (s *Store) Objects(ctx context.Context, q resource.Query) (objects []*resource.Object, seen fleet.Horizon, err error) {
	err = s.snapshot(ctx, "list "+q.Kind, func(tx pgx.Tx) error {
		if seen, err = horizon(ctx, tx); err != nil {
			return err
		}
		objects, err = listObjects(ctx, tx, q)
		return err
	})
	return objects, seen, err
}

const objectColumns = `kind, namespace, name, uid::text, generation, labels, annotations, spec, created_at,
	coalesce(deleted_at, deleting_at), deleted_at IS NOT NULL, unplaced_at, coalesce(owner, ''), written::text`

func listObjects(ctx context.Context, q querier, query resource.Query) ([]*resource.Object, error) {
	const list = `SELECT ` + objectColumns + ` FROM object
		WHERE home = $1 AND kind = $2 AND ($3 = '' OR namespace = $3) AND ($4 = '' OR name = $4)
			AND ($5::text = '0' AND deleted_at IS NULL OR $5::text <> '0' AND written >= $5::text::xid8)
		ORDER BY namespace || '/' || name COLLATE "C"`
	rows, err := q.Query(ctx, list, fleet.HubHome, query.Kind, query.Namespace, query.Name, query.Since.String())
	if err != nil {
		return nil, explain("list "+query.Kind, err)
	}
	objects, err := pgx.CollectRows(rows, scanObject)
	return objects, explain("list "+query.Kind, err)
}

func getObject(ctx context.Context, q querier, kind, namespace, name string) (*resource.Object, error) {
	return oneObject(ctx, q, kind, namespace, name, "")
}

// lockObject returns a live object and holds it until the transaction ends.
func lockObject(ctx context.Context, tx pgx.Tx, kind, namespace, name string) (*resource.Object, error) {
	return oneObject(ctx, tx, kind, namespace, name, " FOR UPDATE")
}

func oneObject(ctx context.Context, q querier, kind, namespace, name, lock string) (*resource.Object, error) {
	query := `SELECT ` + objectColumns + ` FROM object
		WHERE home = $1 AND kind = $2 AND namespace = $3 AND name = $4 AND deleted_at IS NULL` + lock
	rows, err := q.Query(ctx, query, fleet.HubHome, kind, namespace, name)
	doing := "get " + kind + "/" + namespace + "/" + name
	if namespace == "" {
		doing = "get " + kind + "/" + name
	}
	if err != nil {
		return nil, explain(doing, err)
	}
	object, err := pgx.CollectExactlyOneRow(rows, scanObject)
	return object, explain(doing, err)
}

func scanObject(row pgx.CollectableRow) (*resource.Object, error) {
	var o resource.Object
	var deleted bool
	var created time.Time
	var unplaced *time.Time
	var owner string
	m := &o.Metadata
	err := row.Scan(&o.Kind, &m.Namespace, &m.Name, &m.UID, &m.Generation, &m.Labels, &m.Annotations, &o.Spec, &created,
		&m.DeletionTimestamp, &deleted, &unplaced, &owner, &m.ResourceVersion)
	if err != nil {
		return nil, err
	}
	if owner != "" {
		if o.Owner, err = fleet.ParseKey(owner); err != nil {
			return nil, err
		}
	}
	kind, found := resource.KindOf(o.Kind)
	if !found {
		return nil, fmt.Errorf("stored object of unknown kind %q", o.Kind)
	}
	o.APIVersion = kind.APIVersion
	m.CreationTimestamp = &created
	o.Gone, o.UnplacedAt = deleted, orZero(unplaced)
	switch kind.Name {
	case resource.Secret.Name:
		var spec secretSpec
		err = json.Unmarshal(o.Spec, &spec)
		o.Type, o.Spec = spec.Type, nil
	case resource.ServiceAccount.Name:
		var spec accountSpec
		err = json.Unmarshal(o.Spec, &spec)
		o.ImagePullSecrets, o.Spec = spec.ImagePullSecrets, nil
	}
	return &o, err
}

func orEmpty(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

// sameJSON reports whether two texts mean the same. Numbers are compared in full, for values have any.
func sameJSON(a, b []byte) bool {
	x, errX := decodeNumbers(a)
	y, errY := decodeNumbers(b)
	if errX != nil || errY != nil {
		return bytes.Equal(a, b)
	}
	return reflect.DeepEqual(plainNumbers(x), plainNumbers(y))
}

func decodeNumbers(text []byte) (value any, err error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	err = decoder.Decode(&value)
	return value, err
}

// plainNumbers writes each number one way: the database does not keep an exponent.
func plainNumbers(value any) any {
	switch value := value.(type) {
	case json.Number:
		if _, err := value.Float64(); err != nil {
			return value // beyond what is worth writing out
		}
		if number, is := new(big.Rat).SetString(value.String()); is {
			return json.Number(number.RatString())
		}
	case []any:
		for i := range value {
			value[i] = plainNumbers(value[i])
		}
	case map[string]any:
		for key := range value {
			value[key] = plainNumbers(value[key])
		}
	}
	return value
}
