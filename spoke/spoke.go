package spoke

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/run"
	"flotilla.dev/flotilla/pkg/telemetry"
	"flotilla.dev/flotilla/spoke/cache"
	"flotilla.dev/flotilla/spoke/deploy"
	"flotilla.dev/flotilla/spoke/helm"
	"flotilla.dev/flotilla/spoke/hold"
	"flotilla.dev/flotilla/spoke/lease"
	"flotilla.dev/flotilla/spoke/session"
	"flotilla.dev/flotilla/spoke/worker"
)

// Run is a spoke until ctx ends. It serves metrics and probes all the time, and acts while it holds the Lease.
func Run(ctx context.Context, config Config) error {
	if err := config.Validate(); err != nil {
		return err
	}
	config, err := config.withDefaults().withDataDir(os.Getenv)
	if err != nil {
		return err
	}
	config.Log.Info("starting", "version", telemetry.Version(), "config", config)
	registry := telemetry.NewRegistry()
	probes, err := newProbes(config.HTTPListen, registry)
	if err != nil {
		return err
	}
	defer probes.close()
	cluster, err := newCluster(config)
	if err != nil {
		return err
	}
	disk, err := cache.Open(cache.Config{Dir: config.DataDir, MaxBytes: config.CacheBytes, Log: config.Log, Metrics: registry})
	if err != nil {
		return fmt.Errorf("--data-dir: %w", err)
	}
	defer disk.Close()
	rivals := make(chan string, 1)
	return run.All(ctx,
		run.Named{Name: "HTTP", Task: probes.serve},
		run.Named{Name: "agent", Task: func(ctx context.Context) error {
			// Whatever ends the agent ends the process: without it there is nothing to serve.
			defer probes.close()
			if err := cluster.ensureNamespace(ctx); err != nil {
				return err
			}
			probes.ready.Store(true)
			return lease.Run(ctx, lease.Config{
				Leases: cluster.leases, Name: ownName, Holder: disk.Holder(newHolder), Log: config.Log,
				Contended: func(other string) {
					select {
					case rivals <- other:
					default: // one that is not told yet will do
					}
				},
			}, func(ctx context.Context) error { return act(ctx, config, cluster, disk, registry, rivals) })
		}},
	)
}

// act is the agent at work: it keeps the session with the hub, a worker for each Assignment, and the engine that they
// share. Its parts live as long as the Lease is held. The rivals are agents that wait for it.
func act(ctx context.Context, config Config, cluster *cluster, disk *cache.Cache, registry prometheus.Registerer, rivals <-chan string) error {
	metrics := &temporary{Registerer: registry}
	defer metrics.end()
	var (
		pool   *worker.Pool
		client *session.Client
	)
	engine, err := deploy.New(deploy.Config{
		REST: cluster.config, Namespace: config.Namespace, Dir: disk.Dir("engine"), Log: config.Log, Metrics: metrics,
		DefaultServiceAccount: config.DefaultServiceAccount,
		Blob: func(digest fleet.Digest) ([]byte, error) {
			content, err := disk.Blob(digest)
			if err != nil {
				pool.Lost()
			}
			return content, err
		},
		Build:       builder(),
		Event:       func(event fleet.Event) { client.Event(event) },
		Changed:     func(app fleet.Key) { pool.Changed(app) },
		HoldChanged: func() { pool.HoldChanged() },
	})
	if err != nil {
		return err
	}
	program, processes := newHelmProgram(config.HelmBytes)
	releases, err := helm.New(helm.Config{
		REST: cluster.config, Runner: program, Processes: processes, Namespace: config.Namespace, Log: config.Log, Metrics: metrics,
		DefaultServiceAccount: config.DefaultServiceAccount,
		Blob:                  disk.Blob,
		Event:                 func(event fleet.Event) { client.Event(event) },
		Changed:               func(app fleet.Key) { pool.Changed(app) },
		HoldChanged:           func() { pool.HoldChanged() },
	})
	if err != nil {
		return err
	}
	reader := &reader{log: config.Log}
	client, err = session.New(session.Config{
		Store: cluster.identity(), Records: disk, Log: config.Log, Metrics: metrics,
		Hub: config.Hub, Token: config.Token, Dialer: config.Dialer, Facts: cluster.facts,
		Accept:  func(state session.State) { pool.Set(reader.assignments(state)) },
		Reached: func() { pool.Retry() },
		Unknown: func() []fleet.Key { return pool.Unknown() },
		Answer: func(ctx context.Context, ask fleet.Ask) (any, error) {
			a := answers{engine: engine, releases: releases, blobs: disk, assigned: pool.Assigned, fetch: fetcher(client), mark: cluster.mark, secret: cluster.secret}
			return a.answer(ctx, ask)
		},
	})
	if err != nil {
		return err
	}
	kinds := newEngines(engine, releases)
	namespaces := hold.New(hold.Config{
		Client: cluster.metadata, Namespace: config.Namespace, Log: config.Log, Changed: func() { pool.HoldChanged() },
	})
	pool, err = worker.New(worker.Config{
		Engine: kinds, Hold: holds{namespaces, kinds}, Blobs: disk, Records: disk, Fetch: fetcher(client), Log: config.Log, Metrics: metrics,
		Report: client.Report, Forget: client.Forget, Event: client.Event, Concurrency: config.Concurrency,
	})
	if err != nil {
		return err
	}
	return run.All(ctx,
		run.Named{Name: "engine", Task: engine.Run},
		run.Named{Name: "releases", Task: releases.Run},
		run.Named{Name: "holds", Task: namespaces.Run},
		run.Named{Name: "workers", Task: pool.Run},
		run.Named{Name: "session", Task: client.Run},
		run.Named{Name: "rivals", Task: func(ctx context.Context) error {
			for {
				select {
				case <-ctx.Done():
					return nil
				case other := <-rivals:
					client.Event(contention(other))
				}
			}
		}},
	)
}

// contention is what people are told of another agent that waits to act for this cluster.
func contention(other string) fleet.Event {
	return fleet.Event{
		Warning: true, Reason: "SecondAgent", At: time.Now(),
		Message: "another agent waits to act for this cluster: " + other + "; is the spoke deployed twice? It changes nothing while this one acts",
	}
}

// newHolder names this agent on the Lease, for people too.
func newHolder() string {
	host, err := os.Hostname()
	if err != nil {
		host = "spoke"
	}
	return fmt.Sprintf("%s_%s", host, uuid.NewString())
}
