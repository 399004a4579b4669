// Command bench measures Flotilla on this machine, with real parts: a hub, and a cluster with its spoke. For an app of
// ConfigMaps and one of Deployments it prints a table, whose first rows say what the machine was able to do in the same
// minutes.
//
//	all      a commit that changes every object, in turn with a bare client-go loop at the same API server
//	one      a commit that changes one object: from the push until it is applied
//	rest     what the spoke asks of the API server, and takes of the CPU, when nothing changes
//	drift    from an edit by hand to its revert, of six kinds
//	memory   of the hub, its children and the spoke
//	overlay  a commit that changes one object of a base under an overlay
//
// For Helm it prints another one:
//
//	releases  the installation of 100 releases, and a pass in which nothing has changed, in turn with Helm's SDK in a plain
//	          loop at the same API server
//
// For Rollouts it prints one more, of clusters without Kubernetes, whose sessions with the hub are real ones:
//
//	rollout  a Rollout in three waves over 1,000 clusters; the engine's steps over 10,000, whose reports are written into the
//	         database; and the list of 100,000 Assignments, by the page
//
// It reads /proc, so it is for Linux.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	s, err := parseSettings(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once, and all that it started with it
	for _, shape := range shapes {
		if !s.measures(shape.kind) || ctx.Err() != nil {
			continue
		}
		r, runErr := run(ctx, s, shape)
		if len(r.Figures) > 0 {
			runErr = errors.Join(runErr, r.print(os.Stdout, s.output))
		}
		err = errors.Join(err, runErr)
	}
	for _, own := range []struct {
		kind string
		run  func(context.Context, settings) (report, error)
	}{{releaseKind, runReleases}, {rolloutKind, runRollouts}} {
		if !s.measures(own.kind) || ctx.Err() != nil {
			continue
		}
		r, runErr := own.run(ctx, s)
		if len(r.Figures) > 0 {
			runErr = errors.Join(runErr, r.print(os.Stdout, s.output))
		}
		err = errors.Join(err, runErr)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run starts everything, measures, and stops everything. With an error come the figures that there were by then.
func run(ctx context.Context, s settings, of shape) (report, error) {
	b, err := start(ctx, s, of)
	if err == nil {
		err = errors.Join(b.measure(ctx), b.finish())
	}
	return b.report, errors.Join(err, b.stop())
}

// settings are the command line.
type settings struct {
	objects, foreign       int
	releases               int
	spokes, clusters       int
	assignments            int
	rounds, commits, edits int
	rest                   time.Duration
	kind                   string // empty: every shape
	only                   string // empty: every benchmark
	bin                    string // empty: built anew
	output                 string
}

// measures reports whether a kind is to be measured: what -only names is of HelmReleases, of Rollouts or of the other kinds.
func (s settings) measures(kind string) bool {
	return (s.kind == "" || s.kind == kind) && (s.only == "" || kindsOwn(s.only) == kindsOwn(ownName[kind]))
}

// ownName is the one benchmark that a kind has for itself.
var ownName = map[string]string{releaseKind: releasesName, rolloutKind: rolloutName}

// kindsOwn is the name of a benchmark that a kind has for itself; empty: the others share it.
func kindsOwn(name string) string {
	if slices.Contains(slices.Collect(maps.Values(ownName)), name) {
		return name
	}
	return ""
}

func parseSettings(args []string) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.IntVar(&s.objects, "objects", 1000, "how many objects the app has")
	flags.IntVar(&s.foreign, "foreign", 20_000, "rest, memory: how many objects of the same kind are nobody's")
	flags.IntVar(&s.releases, "releases", 100, "releases: how many HelmReleases")
	flags.IntVar(&s.spokes, "spokes", 1000, "rollout: how many clusters with a session")
	flags.IntVar(&s.clusters, "clusters", 10_000, "rollout: how many clusters a step goes over, those with a session included")
	flags.IntVar(&s.assignments, "assignments", 100_000, "rollout: how many Assignments are listed: a multiple of -clusters")
	flags.IntVar(&s.rounds, "rounds", 6, "all, releases: how often the commit, or the pass, and the loop are timed")
	flags.IntVar(&s.commits, "commits", 20, "one, overlay: how often the commit is timed")
	flags.IntVar(&s.edits, "edits", 200, "drift: how many edits by hand, each of another object")
	flags.DurationVar(&s.rest, "rest", time.Minute, "rest: how long requests are counted")
	flags.StringVar(&s.kind, "kind", "", "run with one kind of object: "+strings.Join(shapeNames(), ", "))
	flags.StringVar(&s.only, "only", "", "run one benchmark: "+strings.Join(benchmarkNames(), ", "))
	flags.StringVar(&s.bin, "bin", "", "directory of Flotilla's binaries (default: they are built)")
	flags.StringVar(&s.output, "o", "table", "output: table or json")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	if flags.NArg() > 0 {
		return s, fmt.Errorf("%q is no flag", flags.Arg(0))
	}
	return s, s.validate()
}

// validate reports every problem at once.
func (s settings) validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(s.objects >= 1, "-objects is %d: it takes at least 1", s.objects)
	check(s.releases >= 1, "-releases is %d: it takes at least 1", s.releases)
	check(s.spokes >= 3, "-spokes is %d: it takes at least 3, one for each wave", s.spokes)
	check(s.clusters >= s.spokes, "-clusters is %d: it takes at least the %d of -spokes", s.clusters, s.spokes)
	check(s.clusters < 1 || s.assignments >= s.clusters && s.assignments%s.clusters == 0, "-assignments is %d: it takes a multiple of the %d of -clusters", s.assignments, s.clusters)
	check(s.rounds >= 1, "-rounds is %d: it takes at least 1", s.rounds)
	check(s.foreign >= 0, "-foreign is %d: it takes at least 0", s.foreign)
	check(s.commits >= 1, "-commits is %d: it takes at least 1", s.commits)
	check(s.edits >= 1, "-edits is %d: it takes at least 1", s.edits)
	check(s.kind == "" || slices.Contains(shapeNames(), s.kind), "-kind is %q: it takes one of %s", s.kind, strings.Join(shapeNames(), ", "))
	check(s.rest > 0, "-rest is %s: it takes a time above 0", s.rest)
	check(s.only == "" || slices.Contains(benchmarkNames(), s.only), "-only is %q: it takes one of %s", s.only, strings.Join(benchmarkNames(), ", "))
	check(s.kind == "" || s.only == "" || s.measures(s.kind),
		"-only is %q and -kind %q: %s is of %s, %s of %s, and all else of the other kinds", s.only, s.kind, releasesName, releaseKind, rolloutName, rolloutKind)
	check(s.output == "table" || s.output == "json", "-o is %q: it takes table or json", s.output)
	return errors.Join(errs...)
}
