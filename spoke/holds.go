package spoke

import (
	"context"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/hold"
)

// holds is worker.Hold: namespaces of the cluster may be on hold, and Flux's objects of an App's name.
type holds struct {
	namespaces *hold.Watch
	engines    engines
}

// holder is an engine that knows which of Flux's objects are on hold.
type holder interface {
	AwaitHolds(ctx context.Context) error
	OnHold(app fleet.Key) string
}

func (h holds) Await(ctx context.Context, app fleet.Key) error {
	if err := h.namespaces.Await(ctx); err != nil {
		return err
	}
	if engine, has := h.engines[app.Kind]; has {
		return engine.AwaitHolds(ctx)
	}
	return nil
}

func (h holds) OnHold(app fleet.Key) string {
	if why := h.namespaces.OnHold(app); why != "" {
		return why
	}
	if engine, has := h.engines[app.Kind]; has {
		return engine.OnHold(app)
	}
	return ""
}
