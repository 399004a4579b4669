package spoke

import (
	"context"
	"log/slog"

	"flotilla.dev/flotilla/pkg/render"
)

// buildMemory bounds the process of a build.
const buildMemory = 256 << 20

// builder returns what makes the few builds that only a cluster's keys make possible: one at a time, each in a process of
// its own that ends with it, as a spoke at rest has no memory to spare. What such a process prints may hold a part of a
// decrypted file; nobody sees it.
func builder() func(context.Context, render.Job) (render.Result, error) {
	turn := make(chan struct{}, 1)
	return func(ctx context.Context, job render.Job) (render.Result, error) {
		select {
		case turn <- struct{}{}:
		case <-ctx.Done():
			return render.Result{}, context.Cause(ctx)
		}
		defer func() { <-turn }()
		pool, err := render.New(render.Config{Workers: 1, Memory: buildMemory, JobsPerWorker: 1, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			return render.Result{}, err
		}
		running, stop := context.WithCancel(ctx)
		ended := make(chan error, 1)
		go func() { ended <- pool.Run(running) }()
		result, err := pool.Build(ctx, job)
		stop()
		<-ended // it only ends as it was told to
		return result, err
	}
}
