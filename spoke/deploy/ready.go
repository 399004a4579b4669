package deploy

import (
	"context"
	"fmt"
)

// Ready waits until the inventories are read and it is known what a Flux manages: what Deploy would wait for. The error
// says what is in the way.
func (e *Engine) Ready(ctx context.Context) error {
	if err := e.awaitReady(ctx); err != nil {
		return err
	}
	return e.flux.Await(ctx)
}

// awaitReady waits until the inventories are read.
func (e *Engine) awaitReady(ctx context.Context) error {
	select {
	case <-e.ready:
		return nil
	case <-ctx.Done():
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.trouble == nil {
		return fmt.Errorf("the inventories are not read yet: %w", context.Cause(ctx))
	}
	return fmt.Errorf("the inventories are not read yet: %w: %w", e.trouble, context.Cause(ctx))
}
