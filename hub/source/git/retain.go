package git

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// Retain removes the mirrors of all Remotes but these, and forgets what it knows of them, of submodules that nobody has
// used for a day, and of what is too much together. One that is in use is removed after that.
func (g *Git) Retain(ctx context.Context, ids []string) error {
	keep := map[string]bool{}
	for _, id := range ids {
		keep[mirrorName(id)] = true
	}
	retired := map[string]bool{}
	g.mu.Lock()
	for name := range g.upstreams {
		retired[name] = !keep[remoteIn(name)]
	}
	g.mu.Unlock()
	entries, err := os.ReadDir(g.config.Dir)
	if err != nil {
		return fmt.Errorf("retain mirrors: %w", err)
	}
	for _, entry := range entries {
		if remote := remoteIn(entry.Name()); remote != "" {
			retired[entry.Name()] = !keep[remote]
			g.survey(entry.Name())
		}
	}
	var errs []error
	for name, is := range retired {
		if !is && !g.unused(name) {
			continue
		}
		if err := g.retire(ctx, name); err != nil {
			errs = append(errs, fmt.Errorf("retain mirrors: %w", err))
		}
	}
	g.makeRoom()
	return errors.Join(errs...)
}

// retire removes a mirror once nobody uses it.
func (g *Git) retire(ctx context.Context, name string) error {
	state, err := g.hold(ctx, name)
	if err != nil {
		return err
	}
	defer state.unlock()
	return g.remove(name, state)
}

// remove removes a mirror that the caller holds.
func (g *Git) remove(name string, state *upstream) error {
	if err := g.forget(name); err != nil {
		return err
	}
	state.mu.Lock()
	if state.client != nil {
		state.client.CloseIdleConnections()
	}
	state.mu.Unlock()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.lists.forget(state)
	delete(g.upstreams, name) // whoever waits for it takes a new one: see hold
	return nil
}
