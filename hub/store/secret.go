package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
)

// secretContent is what a Secret's sealed column holds.
type secretContent struct {
	Type string            `json:"type"`
	Data map[string][]byte `json:"data"`
}

// secretPurpose binds a sealed Secret to the row it stands in.
func secretPurpose(namespace, name string) []byte {
	return []byte("object/Secret/" + namespace + "/" + name)
}

// SecretData returns a Secret's content, for the hub's own use: no API gives it out.
func (s *Store) SecretData(ctx context.Context, namespace, name string) (map[string][]byte, error) {
	content, err := s.openSecret(ctx, s.pool, namespace, name)
	return content.Data, err
}

func (s *Store) openSecret(ctx context.Context, q querier, namespace, name string) (content secretContent, err error) {
	const query = `SELECT sealed FROM object
		WHERE home = $1 AND kind = 'Secret' AND namespace = $2 AND name = $3 AND deleted_at IS NULL`
	doing := "read Secret/" + namespace + "/" + name
	var sealed []byte
	if err := q.QueryRow(ctx, query, fleet.HubHome, namespace, name).Scan(&sealed); err != nil {
		return content, explain(doing, err)
	}
	plain, err := s.sealer.Open(sealed, secretPurpose(namespace, name))
	if err != nil {
		return content, explain(doing, err)
	}
	return content, explain(doing, json.Unmarshal(plain, &content))
}

// sealSecret returns the sealed content of a Secret, and whether it is what is stored already; other kinds have none.
func (s *Store) sealSecret(ctx context.Context, tx pgx.Tx, old, object *resource.Object) (sealed []byte, same bool, err error) {
	if object.Kind != resource.Secret.Name {
		return nil, true, nil
	}
	if old != nil {
		stored, err := s.openSecret(ctx, tx, object.Metadata.Namespace, object.Metadata.Name)
		if err != nil && !errors.Is(err, fleet.ErrNotFound) {
			return nil, false, err
		}
		same = stored.Type == object.Type && maps.EqualFunc(stored.Data, object.Data, bytes.Equal)
	}
	plain, err := json.Marshal(secretContent{Type: object.Type, Data: object.Data})
	if err != nil {
		return nil, false, explain("encode "+object.String(), err)
	}
	return s.sealer.Seal(plain, secretPurpose(object.Metadata.Namespace, object.Metadata.Name)), same, nil
}
