package session

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/manifest"
)

// maxPacks bounds the packs kept, in bytes.
const maxPacks = 64 << 20

// packTimeout bounds the making of a pack, which nobody's leaving ends.
const packTimeout = time.Minute

// packs makes the pack of a pair of Manifests once and shares it among all spokes.
type packs struct {
	blobs   Blobs
	metrics *metrics

	mu    sync.Mutex
	kept  map[pair]*pack
	order []pair // the oldest first
	size  int
}

// pair is the Manifest that a spoke holds (zero: none) and the one it wants.
type pair struct{ base, target fleet.Digest }

// pack is one that is made, or being made until ready is closed.
type pack struct {
	ready chan struct{}
	data  []byte
	err   error
}

var errNotMade = errors.New("the pack was not made")

func newPacks(blobs Blobs, m *metrics) *packs {
	return &packs{blobs: blobs, metrics: m, kept: map[pair]*pack{}}
}

// get returns the pack that turns base into target.
func (p *packs) get(ctx context.Context, base, target fleet.Digest) ([]byte, error) {
	key := pair{base, target}
	p.mu.Lock()
	found, exists := p.kept[key]
	if !exists {
		found = &pack{ready: make(chan struct{})}
		p.kept[key] = found
	}
	p.mu.Unlock()
	if exists {
		p.metrics.packs.WithLabelValues("found").Inc()
		select {
		case <-found.ready:
			return found.data, found.err
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	p.metrics.packs.WithLabelValues("made").Inc()
	defer p.keep(key, found)
	defer close(found.ready)
	found.err = errNotMade                                                         // for whoever waits, should making it panic
	making, cancel := context.WithTimeout(context.WithoutCancel(ctx), packTimeout) // others wait for it too
	defer cancel()
	found.data, found.err = p.make(making, base, target)
	return found.data, found.err
}

// keep bounds what is kept; a pack that could not be made is made anew next time.
func (p *packs) keep(key pair, made *pack) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if made.err != nil {
		delete(p.kept, key)
		return
	}
	p.order, p.size = append(p.order, key), p.size+len(made.data)
	for p.size > maxPacks && len(p.order) > 1 {
		oldest := p.order[0]
		p.order, p.size = p.order[1:], p.size-len(p.kept[oldest].data)
		delete(p.kept, oldest)
	}
}

func (p *packs) make(ctx context.Context, base, target fleet.Digest) ([]byte, error) {
	var from *manifest.Manifest
	have := map[fleet.Digest]bool{}
	if !base.IsZero() {
		var err error
		if from, err = p.manifest(ctx, base); err != nil {
			return nil, err
		}
		for _, entry := range from.Entries {
			have[entry.Digest] = true
		}
	}
	to, err := p.manifest(ctx, target)
	if err != nil {
		return nil, err
	}
	var lacking []fleet.Digest
	for _, entry := range to.Entries {
		if !have[entry.Digest] {
			have[entry.Digest] = true
			lacking = append(lacking, entry.Digest)
		}
	}
	blobs, err := p.blobs.GetAll(ctx, lacking)
	if err != nil {
		return nil, fmt.Errorf("objects of Manifest %s: %w", target, err)
	}
	return manifest.Pack(from, to, func(digest fleet.Digest) ([]byte, error) {
		data, found := blobs[digest]
		if !found {
			return nil, fmt.Errorf("object %s: %w", digest, fleet.ErrNotFound)
		}
		return data, nil
	})
}

func (p *packs) manifest(ctx context.Context, digest fleet.Digest) (*manifest.Manifest, error) {
	raw, err := p.blobs.Get(ctx, digest)
	if err != nil {
		return nil, fmt.Errorf("Manifest %s: %w", digest, err)
	}
	return manifest.Decode(raw)
}
