package worker

import (
	"context"
	"sync"
	"time"
)

// slotTime is how long a pass may keep others from its place. One that takes longer, as behind a webhook that hangs,
// goes on without: few Apps that are slow must not hold up all others, and the engine bounds its requests by itself.
const slotTime = 10 * time.Second

// slot waits for one of the places in which passes run.
func (p *Pool) slot(ctx context.Context) (release func(), err error) {
	select {
	case p.slots <- struct{}{}:
		free := sync.OnceFunc(func() { <-p.slots })
		late := time.AfterFunc(slotTime, free)
		return func() {
			late.Stop()
			free()
		}, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
