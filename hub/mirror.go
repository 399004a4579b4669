package hub

import (
	"context"
	"log/slog"
	"time"

	"flotilla.dev/flotilla/hub/source/git"
	"flotilla.dev/flotilla/hub/store"
	"flotilla.dev/flotilla/pkg/run"
)

// retainMirrors removes from disk, at once and each hour, the mirrors of remotes that no Source has meant for a day,
// until ctx ends.
func retainMirrors(ctx context.Context, fleet *store.Store, mirrors *git.Git, log *slog.Logger) error {
	return run.Every(ctx, time.Hour, nil, func(ctx context.Context) {
		remotes, err := fleet.Remotes(ctx)
		names := make([]string, len(remotes))
		for i, remote := range remotes {
			names[i] = remote.String()
		}
		if err == nil {
			err = mirrors.Retain(ctx, names)
		}
		if err != nil && ctx.Err() == nil {
			log.Error("mirrors not retained", "err", err)
		}
	})
}
