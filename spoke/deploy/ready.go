package deploy

import "context"

// Ready waits until the inventories are read and it is known what a Flux manages: what Deploy would wait for.
func (e *Engine) Ready(ctx context.Context) error {
	if err := e.awaitReady(ctx); err != nil {
		return err
	}
	return e.flux.await(ctx)
}
