// Package hub is the hub: the one place where its parts meet. Reading [Run] is reading the process.
package hub

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"flotilla.dev/flotilla/hub/api"
	"flotilla.dev/flotilla/hub/auth"
	"flotilla.dev/flotilla/hub/hook"
	"flotilla.dev/flotilla/hub/release"
	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/hub/session"
	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/hub/source/git"
	"flotilla.dev/flotilla/hub/store"
	"flotilla.dev/flotilla/hub/web"
	"flotilla.dev/flotilla/pkg/identity"
	"flotilla.dev/flotilla/pkg/render"
	"flotilla.dev/flotilla/pkg/rpc"
	"flotilla.dev/flotilla/pkg/run"
	"flotilla.dev/flotilla/pkg/telemetry"
)

// Run is a hub until ctx ends.
func Run(ctx context.Context, config Config) error {
	if err := config.Validate(); err != nil {
		return err
	}
	config = config.withDefaults()
	config.Log.Info("starting", "version", telemetry.Version(), "config", config)
	if err := os.MkdirAll(config.DataDir, 0o700); err != nil {
		return fmt.Errorf("make the data directory: %w", err)
	}
	listeners, err := listen(ctx, config)
	if err != nil {
		return err
	}
	defer listeners.close()
	database, err := openDatabase(ctx, config)
	if err != nil {
		return err
	}
	defer database.close()
	root, err := loadKey(ctx, config, database.url)
	if err != nil {
		return err
	}
	fleet, err := store.Open(ctx, config.store(database.url, root))
	if err != nil {
		return err
	}
	defer fleet.Close()
	if err := ensureAdminToken(ctx, config, fleet, root); err != nil {
		return err
	}
	joinAddress, known := listeners.spokeAddress(config)
	if !known {
		config.Log.Warn("spokes have to be told where this hub is: set --spoke-address, or fill it in", "joinAddress", joinAddress)
	}
	tasks, err := assemble(config, root, fleet, listeners, joinAddress)
	if err != nil {
		return err
	}
	if err := listeners.announce(config, root); err != nil {
		return err
	}
	config.Log.Info("ready", "spoke", listeners.spoke.Addr().String(), "admin", listeners.admin.Addr().String(),
		"hook", listeners.hook.Addr().String(), "http", listeners.http.Addr().String(), "joinAddress", joinAddress, "caPin", root.Authority().Pin().String())
	return run.All(ctx, append(tasks, database.task())...)
}

// assemble makes the hub's parts and returns their tasks. Join commands name joinAddress.
func assemble(config Config, root identity.Root, fleet *store.Store, listeners *listeners, joinAddress string) ([]run.Named, error) {
	log, registry := config.Log, telemetry.NewRegistry()
	builder, err := render.New(render.Config{Memory: config.RenderMemory, CheckEvery: config.CheckBuilds, Log: log, Metrics: registry})
	if err != nil {
		return nil, err
	}
	metrics := source.NewMetrics(registry)
	network := source.NewNetwork(source.NetworkConfig{
		Addresses: source.Addresses{DenyPrivate: config.DenyPrivateSources, Allow: config.AllowSources}, Metrics: metrics,
	})
	mirrors, err := git.New(git.Config{
		Dir: filepath.Join(config.DataDir, "mirrors"), Store: fleet.Blobs(), Network: network, Metrics: metrics, Registry: registry, Log: log,
	})
	if err != nil {
		return nil, err
	}
	kinds, charts, err := fetchers(config, fleet, network, metrics, mirrors)
	if err != nil {
		return nil, err
	}
	toRelease, _ := fleet.Watch(store.TopicObjects, store.TopicSources, store.TopicApps)
	releases := release.New(release.Config{
		Store: fleet, Blobs: fleet.Blobs(), Fetcher: source.Measured(kinds, metrics), Builder: builder, Charts: charts, Name: root.MAC, CrossNamespaceRefs: config.AllowCrossNamespaceRefs,
		Wake: toRelease, Log: log, Metrics: registry,
	})
	toRoll, _ := fleet.Watch(store.TopicObjects, store.TopicSources, store.TopicApps, store.TopicReports, store.TopicRollouts)
	rollouts := rollout.New(rollout.Config{Store: fleet, Checker: checker(fleet, network, log), Wake: toRoll, Log: log, Metrics: registry})
	sessions := session.New(session.Config{
		Store: fleet, Blobs: fleet.Blobs(), Authority: root.Authority(), StateKey: root.StateKey(), TrustDomain: config.TrustDomain, Log: log, Metrics: registry,
		Watch: func(cluster string) (run.Wake, func()) { return fleet.Watch(store.TopicCluster(cluster)) },
	})
	admin := api.New(api.Config{
		Store: fleet, Blobs: fleet.Blobs(), Caller: auth.Caller, Pin: root.Authority().Pin(), SpokeAddress: joinAddress, CrossNamespaceRefs: config.AllowCrossNamespaceRefs,
		Version: telemetry.Version(), Schema: store.SchemaVersion(), Log: log,
		Watch: func() (run.Wake, func()) {
			return fleet.Watch(store.TopicObjects, store.TopicSources, store.TopicApps, store.TopicReports, store.TopicRollouts)
		},
		WatchEvents:   func() (run.Wake, func()) { return fleet.Watch(store.TopicEvents) },
		WatchRollouts: func() (run.Wake, func()) { return fleet.Watch(store.TopicRollouts) },
	})
	hooks := hook.New(hook.Config{
		Store: fleet, Client: network.Client(source.ClientConfig{Limit: keysLimit}), CrossNamespaceRefs: config.AllowCrossNamespaceRefs,
		Log: log, Metrics: registry,
	})
	site := web.New(web.Config{Metrics: registry, Ready: fleet.Ping, Trouble: func() string { return troubleWith(builder.Health()) }, Log: log})
	return []run.Named{
		{Name: "store", Task: fleet.Run},
		{Name: "retention", Task: func(ctx context.Context) error { return fleet.Retain(ctx, time.Hour) }},
		{Name: "mirrors", Task: func(ctx context.Context) error { return retainMirrors(ctx, fleet, mirrors, log) }},
		{Name: "builds", Task: builder.Run},
		{Name: "releases", Task: releases.Run},
		{Name: "rollouts", Task: rollouts.Run},
		{Name: "sessions", Task: sessions.Run},
		{Name: "admin", Task: admin.Run},
		{Name: "spoke API", Task: func(ctx context.Context) error {
			return serveSpokes(ctx, config, root, registry, sessions, listeners.spoke)
		}},
		{Name: "admin API", Task: func(ctx context.Context) error {
			return serveAdmin(ctx, config, root, registry, auth.New(fleet), admin, listeners.admin)
		}},
		{Name: "webhooks", Task: func(ctx context.Context) error { return web.Serve(ctx, listeners.hook, web.Receivers(hooks, log)) }},
		{Name: "HTTP", Task: func(ctx context.Context) error { return web.Serve(ctx, listeners.http, site.Handler()) }},
	}, nil
}

// keysLimit bounds what an issuer of callers' tokens may answer.
func keysLimit(*http.Request) (bytes int64, problem string) {
	return 1 << 20, "its answer has more than 1 MiB; keys take a few KiB"
}

// longWait is how long a build may wait for a worker before it is a trouble: longer than any build takes, which is three
// attempts of a minute each.
const longWait = 4 * time.Minute

// troubleWith says in words what is wrong with builds; empty: nothing.
func troubleWith(builds render.Health) string {
	switch {
	case builds.Err != nil:
		return "no builds: no worker process starts; the hub's log and flotilla_render_up say more"
	case builds.Longest > longWait:
		return fmt.Sprintf("slow builds: %d wait for a worker, the first for %s", builds.Waiting, builds.Longest.Round(time.Second))
	}
	return ""
}

func serveSpokes(ctx context.Context, config Config, root identity.Root, registry prometheus.Registerer, sessions *session.Server, listener net.Listener) error {
	server := rpc.NewServer(rpc.ServerConfig{
		Name: "spoke", TLS: root.Authority().ServerTLS(config.Hosts), Log: config.Log, Metrics: registry,
		Authorize: sessions.Authorize,
	})
	sessions.Register(server)
	return rpc.Serve(ctx, server, listener)
}

func serveAdmin(ctx context.Context, config Config, root identity.Root, registry prometheus.Registerer, guard *auth.Guard, admin *api.Server, listener net.Listener) error {
	server := rpc.NewServer(rpc.ServerConfig{
		Name: "admin", TLS: root.Authority().AdminServerTLS(config.Hosts), Log: config.Log, Metrics: registry,
		Authorize: guard.Authorize,
	})
	admin.Register(server)
	return rpc.Serve(ctx, server, listener)
}
