package hub

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"flotilla.dev/flotilla/pkg/postgres"
	"flotilla.dev/flotilla/pkg/run"
)

// database is the one that was given, or a private one of this process.
type database struct {
	url     string
	private *postgres.Server
}

// openDatabase starts the private Postgres when no URL was given, and says so.
func openDatabase(ctx context.Context, config Config) (*database, error) {
	if config.DatabaseURL != "" {
		return &database{url: config.DatabaseURL}, nil
	}
	dir := filepath.Join(config.DataDir, "postgres")
	config.Log.Info("no --database-url: starting a private Postgres", "dir", dir)
	server, err := postgres.Start(ctx, postgres.Config{Dir: dir, Log: config.Log.With("part", "postgres")})
	if err != nil {
		return nil, err
	}
	return &database{url: server.URL("postgres"), private: server}, nil
}

func (d *database) close() {
	if d.private != nil {
		_ = d.private.Stop() // what it did not finish, its next start recovers
	}
}

// errPostgresEnded ends a hub whose private Postgres is gone.
var errPostgresEnded = errors.New("the private Postgres ended")

// task restarts the private Postgres when it ends by itself; a given one has its own keeper.
func (d *database) task() run.Named {
	return run.Named{Name: "postgres", Task: func(ctx context.Context) error {
		if d.private == nil {
			<-ctx.Done()
			return nil
		}
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-d.private.Done():
				if ctx.Err() != nil {
					return nil
				}
				if err := d.private.Restart(ctx); err != nil {
					return fmt.Errorf("%w: %w", errPostgresEnded, err)
				}
			}
		}
	}}
}
