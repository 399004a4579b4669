package hub

import (
	"context"
	"log/slog"
	"time"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/hub/store"
	"flotilla.dev/flotilla/pkg/run"
)

// retainMirrors removes from disk, at once and each hour, the mirrors of upstreams that no Source has meant for a day,
// until ctx ends.
func retainMirrors(ctx context.Context, fleet *store.Store, git *source.Git, log *slog.Logger) error {
	return run.Every(ctx, time.Hour, nil, func(ctx context.Context) {
		upstreams, err := fleet.UpstreamIDs(ctx)
		ids := make([]string, len(upstreams))
		for i, id := range upstreams {
			ids[i] = id.String()
		}
		if err == nil {
			err = git.Retain(ctx, ids)
		}
		if err != nil && ctx.Err() == nil {
			log.Error("mirrors not retained", "err", err)
		}
	})
}
