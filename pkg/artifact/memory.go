package artifact

import (
	"bytes"
	"context"
	"fmt"
	"sync"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Memory is a Store in memory, for tests and for builds that end with the process. The zero Memory is empty. It
// sweeps nothing.
type Memory struct {
	mu    sync.RWMutex
	blobs map[fleet.Digest][]byte
}

var _ Keeper = (*Memory)(nil)

// Put implements Store.
func (m *Memory) Put(ctx context.Context, blobs map[fleet.Digest][]byte) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("put blobs: %w", err)
	}
	for digest, data := range blobs {
		if fleet.DigestOf(data) != digest {
			return fmt.Errorf("put blobs: %w: the content of %s is not of that digest", fleet.ErrInvalid, digest)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.blobs == nil {
		m.blobs = map[fleet.Digest][]byte{}
	}
	for digest, data := range blobs {
		if _, stored := m.blobs[digest]; !stored {
			m.blobs[digest] = bytes.Clone(data)
		}
	}
	return nil
}

// Missing implements Store.
func (m *Memory) Missing(ctx context.Context, digests []fleet.Digest) ([]fleet.Digest, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("missing blobs: %w", err)
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	var missing []fleet.Digest
	seen := map[fleet.Digest]bool{}
	for _, digest := range digests {
		if _, stored := m.blobs[digest]; !stored && !seen[digest] {
			missing = append(missing, digest)
			seen[digest] = true
		}
	}
	return missing, nil
}

// Get implements Store.
func (m *Memory) Get(ctx context.Context, digest fleet.Digest) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("blob %s: %w", digest, err)
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	data, stored := m.blobs[digest]
	if !stored {
		return nil, fmt.Errorf("blob %s: %w", digest, fleet.ErrNotFound)
	}
	return bytes.Clone(data), nil
}

// Len is the number of blobs stored.
func (m *Memory) Len() int {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return len(m.blobs)
}

// PutNodes implements Keeper.
func (m *Memory) PutNodes(ctx context.Context, nodes []Node) error {
	blobs := make(map[fleet.Digest][]byte, len(nodes))
	for _, node := range nodes {
		blobs[node.Digest] = node.Data
	}
	var needed []fleet.Digest
	for _, node := range nodes {
		for _, part := range node.Parts {
			if blobs[part] == nil {
				needed = append(needed, part)
			}
		}
	}
	missing, err := m.Missing(ctx, needed)
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		return fmt.Errorf("put nodes: %w: blob %s, which one needs, is not stored", fleet.ErrNotFound, missing[0])
	}
	return m.Put(ctx, blobs)
}

// Kept implements Keeper.
func (m *Memory) Kept(ctx context.Context, nodes []Node) (map[fleet.Digest]bool, error) {
	kept := map[fleet.Digest]bool{}
	for _, node := range nodes {
		missing, err := m.Missing(ctx, append([]fleet.Digest{node.Digest}, node.Parts...))
		if err != nil {
			return nil, err
		}
		kept[node.Digest] = len(missing) == 0
	}
	return kept, nil
}
