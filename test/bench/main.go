// Command bench measures Flotilla on this machine, with real parts: a hub, and a cluster with its spoke. It prints one
// table, whose first rows say what the machine was able to do in the same minutes.
//
//	commit   from a push to the last object applied, in turn with a bare client-go loop at the same API server
//	rest     what the spoke asks of the API server when nothing changes
//	drift    from an edit by hand to its revert
//	memory   of the hub, its children and the spoke
//
// It reads /proc, so it is for Linux.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
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
	r, err := run(ctx, s)
	if len(r.Figures) > 0 {
		err = errors.Join(err, r.print(os.Stdout, s.output))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run starts everything, measures, and stops everything. With an error come the figures that there were by then.
func run(ctx context.Context, s settings) (report, error) {
	b, err := start(ctx, s)
	if err == nil {
		err = errors.Join(b.measure(ctx), b.finish())
	}
	return b.report, errors.Join(err, b.stop())
}

// settings are the command line.
type settings struct {
	objects, rounds, edits int
	rest                   time.Duration
	only                   string // empty: every benchmark
	bin                    string // empty: built anew
	output                 string
}

func parseSettings(args []string) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.IntVar(&s.objects, "objects", 1000, "how many ConfigMaps the app has")
	flags.IntVar(&s.rounds, "rounds", 6, "commit: how often each commit and each bare loop is timed")
	flags.IntVar(&s.edits, "edits", 0, "drift: how many edits by hand, each of another object (default 200, or as many as there are objects)")
	flags.DurationVar(&s.rest, "rest", time.Minute, "rest: how long requests are counted")
	flags.StringVar(&s.only, "only", "", "run one benchmark: "+strings.Join(benchmarkNames(), ", "))
	flags.StringVar(&s.bin, "bin", "", "directory of Flotilla's binaries (default: they are built)")
	flags.StringVar(&s.output, "o", "table", "output: table or json")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	if flags.NArg() > 0 {
		return s, fmt.Errorf("%q is no flag", flags.Arg(0))
	}
	if s.edits == 0 {
		s.edits = min(200, s.objects)
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
	check(s.rounds >= 1, "-rounds is %d: it takes at least 1", s.rounds)
	check(s.edits >= 1 && s.edits <= s.objects, "-edits is %d: it takes 1 to %d, as many as there are objects", s.edits, s.objects)
	check(s.rest > 0, "-rest is %s: it takes a time above 0", s.rest)
	check(s.only == "" || slices.Contains(benchmarkNames(), s.only), "-only is %q: it takes one of %s", s.only, strings.Join(benchmarkNames(), ", "))
	check(s.output == "table" || s.output == "json", "-o is %q: it takes table or json", s.output)
	return errors.Join(errs...)
}
