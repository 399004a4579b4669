package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"flotilla.dev/flotilla/test/lab"
)

// demo is what runs.
type demo struct {
	root string // of the checkout
	dir  string // of everything
	bin  string // of the binaries; empty until they are built
	out  *narrator

	fleet  *lab.Fleet
	repo   *lab.Repo
	commit string

	keepers sync.WaitGroup
}

// becomeReady bounds the way of the first commit to all clusters.
var becomeReady = 2 * time.Minute

// present goes from nothing to three clusters that run the app, and tells about it. A demo that stays has everything
// started again that ends, before anybody is told that it is ready.
func (d *demo) present(ctx context.Context, stays bool) error {
	if err := d.start(ctx); err != nil {
		return err
	}
	if stays {
		d.keepRunning(ctx)
	}
	if err := d.explain(ctx, stays); err != nil {
		return err
	}
	return writeFile(filepath.Join(d.dir, "ready"), d.commit+"\n")
}

// start returns when three clusters run the app.
func (d *demo) start(ctx context.Context) error {
	d.out.plain("A hub, three clusters and a Git repository, in %s and on loopback only.\n", d.dir)
	if err := d.prepare(ctx); err != nil {
		return err
	}
	var err error
	d.fleet, err = lab.StartFleet(ctx, lab.FleetConfig{
		Name: "demo", Namespace: namespace, Dir: d.dir, Binaries: d.bin, Clusters: lab.ThreeClusters(), PrivatePostgres: true, Progress: d.out,
	})
	if err != nil {
		return err
	}
	if err := d.writeHubPID(); err != nil {
		return err
	}
	if err := d.makeRepo(ctx); err != nil {
		return fmt.Errorf("make the repository: %w", err)
	}
	if err := d.declare(ctx); err != nil {
		return err
	}
	if err := d.awaitClusters(ctx); err != nil {
		return err
	}
	return d.writeEnv()
}

// prepare has everything that is built or installed.
func (d *demo) prepare(ctx context.Context) error {
	postgres, err := lab.EnsurePostgres(ctx, d.out)
	if err != nil {
		return err
	}
	d.out.say("Postgres: %s", postgres)
	if d.bin == "" {
		d.bin = filepath.Join(d.root, "bin")
		if err := lab.BuildBinaries(ctx, d.bin, d.out); err != nil {
			return err
		}
	}
	if _, err := lab.KubeBinary(ctx, d.out); err != nil {
		return err
	}
	d.out.say("all binaries are built; starting a hub and %d clusters", len(lab.ThreeClusters()))
	return nil
}

// declare applies the objects that say what runs where, and in which order.
func (d *demo) declare(ctx context.Context) error {
	file := filepath.Join(d.dir, "fleet.yaml")
	if err := d.writeFleet(file); err != nil {
		return err
	}
	if err := d.fleet.Fleetctl(ctx, "apply", "-f", file).Err(); err != nil {
		return err
	}
	d.out.say("applied: GitRepository, Kustomization and Placement app in namespace %s, and RolloutPolicy app: canary first, then prod", namespace)
	return nil
}

// awaitClusters tells of each cluster when it runs the first commit. A rollout that is halted says why: the clusters after
// the canary would be waited for in vain.
func (d *demo) awaitClusters(ctx context.Context) error {
	waits, waiting := errgroup.WithContext(ctx)
	waits.Go(func() error {
		return d.fleet.Fleetctl(waiting, "rollout", "wait", "ks/app", "--revision", d.commit, "--timeout", becomeReady.String()).Err()
	})
	for _, m := range d.fleet.Members {
		waits.Go(func() error {
			waited := d.fleet.Fleetctl(waiting, "wait", "ks/app@"+m.Name(), "--for=revision="+d.commit, "--for=ready",
				"--timeout", becomeReady.String())
			if err := waited.Err(); err != nil {
				return err
			}
			d.out.say("cluster %s: runs %s", m.Name(), d.commit[:8])
			return nil
		})
	}
	if err := waits.Wait(); err != nil {
		return err
	}
	return d.fleet.Fleetctl(ctx, "wait", "ks/app", "--for=ready", "--timeout", becomeReady.String()).Err()
}

// writeEnv writes the file that makes a shell know fleetctl and this hub.
func (d *demo) writeEnv() error {
	env := fmt.Sprintf("export PATH=%s:\"$PATH\"\nexport FLOTILLA_CONFIG=%s\n", quote(d.bin), quote(d.fleet.ConfigFile()))
	return writeFile(filepath.Join(d.dir, "env"), env)
}

// keepRunning starts again what ends, as a cluster would, until the context ends.
func (d *demo) keepRunning(ctx context.Context) {
	for _, p := range d.fleet.Programs() {
		d.keepers.Go(func() { d.keep(ctx, p) })
	}
}

// restartDelay leaves time to see what goes on without the hub.
const restartDelay = 10 * time.Second

func (d *demo) keep(ctx context.Context, p *lab.Program) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.Done():
		}
		d.out.say("%s ended; it starts again in %s", p.Name(), restartDelay)
		select {
		case <-ctx.Done():
			return
		case <-time.After(restartDelay):
		}
		if err := p.Start(ctx); err != nil {
			d.out.say("%v", err)
			continue
		}
		d.out.say("%s runs again", p.Name())
		if p == d.fleet.Hub {
			if err := d.writeHubPID(); err != nil {
				d.out.say("%v", err)
			}
		}
	}
}

func (d *demo) writeHubPID() error {
	return writeFile(filepath.Join(d.dir, "hub.pid"), strconv.Itoa(d.fleet.Hub.PID())+"\n")
}

// stop ends all that was started. The context of the keepers has ended.
func (d *demo) stop() error {
	d.keepers.Wait()
	if d.fleet == nil {
		return nil
	}
	return d.fleet.Stop()
}

// writeFile puts a file in place whole.
func writeFile(path, content string) error {
	if err := os.WriteFile(path+".new", []byte(content), 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// quote makes one word of a POSIX shell.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }
