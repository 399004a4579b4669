package lab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sync/errgroup"
)

// FleetConfig says what a fleet consists of.
type FleetConfig struct {
	// Name is that of fleetctl's context. Empty: "lab".
	Name string
	// Namespace is the one that fleetctl means when none is named. Empty: fleetctl's default.
	Namespace string
	// Dir keeps everything: clusters/NAME, spokes/NAME, hub, git, log. Made when absent. Empty: a temporary directory
	// that Stop removes, and another for Postgres.
	Dir string
	// Binaries is the directory of flotilla-hub, flotilla-spoke and fleetctl. Empty: they are built.
	Binaries string
	// Clusters that are registered, each with a spoke, but for those apart. None is a fleet of a hub alone.
	Clusters []FleetCluster
	// PrivatePostgres leaves the database to the hub, which then starts its own. Otherwise the fleet has a Postgres that
	// can be killed and restored apart from the hub.
	PrivatePostgres bool
	// Fsync has the fleet's Postgres survive the machine, for benchmarks that must pay for it.
	Fsync bool
	// Audit has the API servers keep the log that Cluster.Requests reads.
	Audit bool
	// HubArgs and SpokeArgs are added to the command lines.
	HubArgs, SpokeArgs []string
	// Progress takes a line about each thing that stands, and about long builds. Nil drops them.
	Progress io.Writer
}

// FleetCluster is a cluster to be.
type FleetCluster struct {
	Name   string
	Labels map[string]string
	// Apart leaves the cluster without a spoke, and unknown to the hub, until it is joined.
	Apart bool
}

// Fleet is a hub, clusters with their spokes, and a Git server: real parts, each a process of its own, on loopback. What
// is killed comes back at the addresses that it had. It is safe for concurrent use.
type Fleet struct {
	// Hub is the hub's process.
	Hub *Program
	// Members are the clusters, in the order in which they were asked for.
	Members []*Member
	// Postgres is the hub's database; nil with PrivatePostgres.
	Postgres *Postgres
	// Git serves repositories that the hub can reach.
	Git *GitServer

	config    FleetConfig
	workspace *workspace // nil when the directory is the caller's
	hub       hubAddresses
	rivals    []*Program // second spokes

	progress sync.Mutex
}

// StartFleet returns when the hub and all clusters run and every spoke is connected. The context bounds the start only.
func StartFleet(ctx context.Context, config FleetConfig) (*Fleet, error) {
	config.Name = cmp.Or(config.Name, "lab")
	f := &Fleet{config: config}
	if err := f.start(ctx); err != nil {
		return nil, fmt.Errorf("start fleet: %w", errors.Join(err, f.Stop()))
	}
	return f, nil
}

// apiServersAtOnce is how many clusters start side by side: starting one keeps a core busy.
const apiServersAtOnce = 2

func (f *Fleet) start(ctx context.Context) error {
	if err := f.makeDirs(); err != nil {
		return err
	}
	if f.config.Binaries == "" {
		f.config.Binaries = f.file("bin")
		if err := BuildBinaries(ctx, f.config.Binaries, f.config.Progress); err != nil {
			return err
		}
	}
	var err error
	if f.Git, err = StartGitServer(f.file("git")); err != nil {
		return err
	}
	for _, c := range f.config.Clusters {
		f.Members = append(f.Members, &Member{Labels: c.Labels, name: c.Name, apart: c.Apart})
	}
	tasks, ctx := errgroup.WithContext(ctx)
	hubReady := make(chan struct{})
	tasks.Go(func() error {
		defer close(hubReady)
		return f.startHub(ctx)
	})
	slots := make(chan struct{}, apiServersAtOnce)
	for _, m := range f.Members {
		tasks.Go(func() error {
			slots <- struct{}{}
			err := f.startCluster(ctx, m)
			<-slots
			if err != nil {
				return err
			}
			<-hubReady
			if ctx.Err() != nil {
				return ctx.Err() // the hub's error is the one that counts
			}
			if m.apart {
				return nil
			}
			return f.Join(ctx, m)
		})
	}
	return tasks.Wait()
}

func (f *Fleet) makeDirs() error {
	var err error
	if f.config.Dir == "" {
		if f.workspace, err = newWorkspace(); err != nil {
			return err
		}
		f.config.Dir = f.workspace.dir
	}
	if f.config.Dir, err = filepath.Abs(f.config.Dir); err != nil {
		return err
	}
	for _, dir := range []string{"", "hub", "log"} {
		if err := os.MkdirAll(f.file(dir), 0o755); err != nil {
			return err
		}
	}
	return nil
}

// Member returns the cluster of that name; nil when the fleet has none.
func (f *Fleet) Member(name string) *Member {
	for _, m := range f.Members {
		if m.Name() == name {
			return m
		}
	}
	return nil
}

// Programs are the hub and the spokes.
func (f *Fleet) Programs() []*Program {
	var all []*Program
	if f.Hub != nil {
		all = append(all, f.Hub)
	}
	for _, m := range f.Members {
		if m.Spoke != nil {
			all = append(all, m.Spoke)
		}
	}
	return append(all, f.rivals...)
}

// Dir is where everything is, the log directory included.
func (f *Fleet) Dir() string { return f.config.Dir }

// Stop ends every process, waits for that, and removes a temporary directory. Its error tells of a program that did not
// end in order. It may be called more than once.
func (f *Fleet) Stop() error {
	var stops errgroup.Group
	errs := make([]error, len(f.Programs()))
	for i, p := range f.Programs() {
		stops.Go(func() error {
			errs[i] = p.Stop()
			return nil
		})
	}
	_ = stops.Wait()
	for _, m := range f.Members {
		if m.Cluster != nil {
			errs = append(errs, m.Cluster.Stop())
		}
	}
	if f.Git != nil {
		errs = append(errs, f.Git.Stop())
	}
	if f.Postgres != nil {
		errs = append(errs, f.Postgres.Stop())
	}
	if f.workspace != nil {
		errs = append(errs, f.workspace.remove())
		f.workspace = nil
	}
	return errors.Join(errs...)
}

func (f *Fleet) file(name string) string { return filepath.Join(f.config.Dir, name) }

func (f *Fleet) say(format string, args ...any) {
	if f.config.Progress == nil {
		return
	}
	f.progress.Lock()
	defer f.progress.Unlock()
	fmt.Fprintf(f.config.Progress, format+"\n", args...)
}

// TestFleet is the test process's own fleet: canary-1 with tier=canary, prod-1 and prod-2 with tier=prod, all audited.
// Tests tell their Apps apart by namespace; one that kills a part or counts fleet-wide starts a fleet of its own.
func TestFleet(t testing.TB) *Fleet {
	t.Helper()
	dir := TestBinaries(t)
	return sharedFleet.get(t, func(ctx context.Context) (*Fleet, error) {
		return StartFleet(ctx, FleetConfig{Binaries: dir, Clusters: ThreeClusters(), Audit: true, Progress: os.Stderr})
	})
}

var sharedFleet share[*Fleet]

// ThreeClusters are those of the demo and of most tests.
func ThreeClusters() []FleetCluster {
	return []FleetCluster{
		{Name: "canary-1", Labels: map[string]string{"tier": "canary", "region": "eu-west"}},
		{Name: "prod-1", Labels: map[string]string{"tier": "prod", "region": "eu-west"}},
		{Name: "prod-2", Labels: map[string]string{"tier": "prod", "region": "us-east"}},
	}
}
