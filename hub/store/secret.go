package store

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
)

// secretContent is what a Secret's sealed column holds. Its type is no secret and stands in its spec.
type secretContent struct {
	Data map[string][]byte `json:"data"`
}

// secretSpec is what a Secret's spec column holds.
type secretSpec struct {
	Type string `json:"type"`
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
	content.Data, err = s.unsealed(namespace, name, sealed)
	return content, err
}

// unsealed is the content of a Secret; without a name there is none.
func (s *Store) unsealed(namespace, name string, sealed []byte) (map[string][]byte, error) {
	if name == "" {
		return nil, nil
	}
	doing := "read Secret/" + namespace + "/" + name
	plain, err := s.sealer.Open(sealed, secretPurpose(namespace, name))
	if err != nil {
		return nil, explain(doing, err)
	}
	var content secretContent
	err = json.Unmarshal(plain, &content)
	return content.Data, explain(doing, err)
}

// sealSecret returns the sealed content of a Secret, and whether it is what is stored already; other kinds have none. A
// Secret that is given without content, as it is given out, keeps what is stored.
func (s *Store) sealSecret(ctx context.Context, tx pgx.Tx, old, object *resource.Object) (sealed []byte, same bool, err error) {
	if object.Kind != resource.Secret.Name {
		return nil, true, nil
	}
	content := secretContent{Data: object.Data}
	switch {
	case old == nil && len(content.Data) == 0:
		missing := &fleet.FieldError{Path: "data", Problem: "is required, or stringData: a Secret is shown without its content, and only one that is there keeps it"}
		return nil, false, fmt.Errorf("%s: %w", object, missing)
	case old != nil:
		stored, err := s.openSecret(ctx, tx, object.Metadata.Namespace, object.Metadata.Name)
		if err != nil {
			return nil, false, err
		}
		if len(content.Data) == 0 {
			content = stored
		}
		same = maps.EqualFunc(stored.Data, content.Data, bytes.Equal)
	}
	plain, err := json.Marshal(content)
	if err != nil {
		return nil, false, explain("encode "+object.String(), err)
	}
	return s.sealer.Seal(plain, secretPurpose(object.Metadata.Namespace, object.Metadata.Name)), same, nil
}
