// Command demo shows Flotilla at work on this machine: a hub, three clusters with their spokes, and a Git repository
// whose app reaches all of them. It stays up until interrupted.
//
// In the checkout, for people and scripts:
//
//	.demo/ready                      appears when all clusters are ready
//	.demo/env                        a shell file: PATH and FLOTILLA_CONFIG for fleetctl
//	.demo/clusters/NAME/kubeconfig   of each cluster
//	.demo/repo                       a clone; git push goes to the demo's server
//	.demo/hub.pid                    the hub's process
//	.demo/log                        what hub and spokes say
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"flotilla.dev/flotilla/test/lab"
)

func main() {
	exit := flag.Bool("exit", false, "end when all clusters are ready: with 0, or with 1 when they do not become so")
	dir := flag.String("dir", "", "where the demo keeps everything (default: .demo in the checkout)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), signals()...)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once, and all that it started with it
	if err := run(ctx, *dir, *exit); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// signals end the demo. A hang-up that whoever started it chose to ignore stays ignored.
func signals() []os.Signal {
	all := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		all = append(all, syscall.SIGHUP)
	}
	return all
}

// run is the demo from a clean place to a clean place.
func run(ctx context.Context, dir string, exit bool) error {
	root, err := lab.ModuleRoot()
	if err != nil {
		return err
	}
	if dir == "" {
		dir = filepath.Join(root, ".demo")
	}
	place, err := takePlace(dir)
	if err != nil {
		return err
	}
	defer place.release()
	ctx, stop := withParent(ctx)
	defer stop()
	d := &demo{dir: place.dir, bin: filepath.Join(root, "bin"), out: newNarrator(os.Stdout)}
	err = d.start(ctx)
	if err == nil {
		d.explain(ctx)
		if !exit {
			d.keepRunning(ctx)
			d.out.plain("\nStopping.")
		}
	}
	if ctx.Err() != nil && err != nil {
		err = errors.New("interrupted before all clusters were ready")
	}
	if stopErr := d.stop(); stopErr != nil {
		d.out.plain("not all ended in order: %v", stopErr)
	}
	if err != nil {
		place.keep()
		d.out.plain("The logs of what ran are in %s", filepath.Join(place.dir, "log"))
	}
	return err
}
