package git

import (
	"context"
	"net/http"
	"sync"
)

// upstream is what a Git remembers of an upstream while it runs.
type upstream struct {
	busy chan struct{} // held by the one that uses the mirror

	listing chan struct{} // held by the one that asks for the list of refs

	mu     sync.Mutex
	list   *listing
	client *http.Client
	// authorizer and credential are the client's.
	authorizer *authorizer
	credential *credential
}

func (g *Git) upstream(name string) *upstream {
	g.mu.Lock()
	defer g.mu.Unlock()
	state := g.upstreams[name]
	if state == nil {
		state = &upstream{busy: make(chan struct{}, 1), listing: make(chan struct{}, 1)}
		g.upstreams[name] = state
	}
	return state
}

// hold returns the upstream, and its mirror with it, to the caller alone, who unlocks it.
func (g *Git) hold(ctx context.Context, name string) (*upstream, error) {
	for {
		state := g.upstream(name)
		if err := state.lock(ctx); err != nil {
			return nil, err
		}
		if g.upstream(name) == state {
			return state, nil
		}
		state.unlock() // it was retired while this one waited
	}
}

func (s *upstream) lock(ctx context.Context) error {
	select {
	case s.busy <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s *upstream) unlock() { <-s.busy }
