package source

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// Retain removes the mirrors of all upstreams but these, and forgets what it knows of them. One that is in use is
// removed after that.
func (g *Git) Retain(ctx context.Context, ids []string) error {
	retired := map[string]bool{}
	g.mu.Lock()
	for name := range g.upstreams {
		retired[name] = true
	}
	g.mu.Unlock()
	entries, err := os.ReadDir(g.config.Dir)
	if err != nil {
		return fmt.Errorf("retain mirrors: %w", err)
	}
	for _, entry := range entries {
		if isMirrorName(entry.Name()) {
			retired[entry.Name()] = true
		}
	}
	for _, id := range ids {
		delete(retired, mirrorName(id))
	}
	var errs []error
	for name := range retired {
		if err := g.retire(ctx, name); err != nil {
			errs = append(errs, fmt.Errorf("retain mirrors: %w", err))
		}
	}
	return errors.Join(errs...)
}

// retire removes a mirror once nobody uses it.
func (g *Git) retire(ctx context.Context, name string) error {
	state, err := g.hold(ctx, name)
	if err != nil {
		return err
	}
	defer state.unlock()
	if err := g.removeMirror(name); err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.upstreams, name) // whoever waits for it takes a new one: see hold
	return nil
}
