// Command demo shows Flotilla at work on this machine: a hub, three clusters with their spokes, and a Git repository
// whose app reaches all of them. It stays up until interrupted.
//
// In the checkout, for people and scripts:
//
//	.demo/ready                      appears when all clusters are ready and what ends is started again
//	.demo/env                        a shell file: PATH and FLOTILLA_CONFIG for fleetctl
//	.demo/clusters/NAME/kubeconfig   of each cluster
//	.demo/repo                       a clone; git push goes to the demo's server
//	.demo/hub.pid                    the hub's process
//	.demo/log                        what hub and spokes say
package main

import (
	"cmp"
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
	var o options
	flag.BoolVar(&o.exit, "exit", false, "end when all clusters are ready: with 0, or with 1 when they do not become so")
	flag.StringVar(&o.dir, "dir", "", "where the demo keeps everything (default: .demo in the checkout)")
	flag.StringVar(&o.bin, "bin", "", "where Flotilla's binaries are (default: bin in the checkout, built anew)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), signals()...)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once, and all that it started with it
	// Whoever reads the output may go first; the demo still cleans up.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	if err := run(ctx, o); err != nil {
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

// options are the command line.
type options struct {
	exit     bool
	dir, bin string
}

// run is the demo from a clean place to a clean place.
func run(ctx context.Context, o options) error {
	root, err := lab.ModuleRoot()
	if err != nil {
		return err
	}
	place, err := takePlace(cmp.Or(o.dir, filepath.Join(root, ".demo")), o.dir == "")
	if err != nil {
		return err
	}
	defer place.release()
	ctx, stop := withParent(ctx)
	defer stop()
	d := &demo{root: root, dir: place.dir, bin: o.bin, out: newNarrator(os.Stdout)}
	err = d.present(ctx, !o.exit)
	if ctx.Err() != nil && err != nil {
		err = errors.New("interrupted before all clusters were ready")
	}
	if err == nil && !o.exit {
		<-ctx.Done()
	}
	stop()
	d.out.plain("")
	d.out.say("stopping")
	if stopErr := d.stop(); stopErr != nil {
		d.out.plain("not all ended in order: %v", stopErr)
	}
	d.out.say("nothing of it runs any more")
	if err != nil {
		place.keep()
		d.out.plain("The logs of what ran are in %s", filepath.Join(place.dir, "log"))
	}
	return err
}
