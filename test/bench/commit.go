package main

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"flotilla.dev/flotilla/test/lab"
)

// all times commits that change every object. In each round the bare loop applies the same, before Flotilla or after it
// in turn, so that a machine that gets slower or faster is fair to both.
func (b *bench) all(ctx context.Context) error {
	var pushed, with, without, planned, tried, written, bare sample
	for round := range b.settings.rounds {
		sides := []func() error{
			func() error {
				d, err := b.app.deliver(ctx, b.corpus, b.corpus.all())
				if err != nil {
					return err
				}
				took := d.applied.Sub(d.received)
				pushed = append(pushed, d.applied.Sub(d.pushed).Seconds())
				with = append(with, took.Seconds())
				without = append(without, (took - d.apply.Sub(d.dryRun)).Seconds())
				planned = append(planned, d.dryRun.Sub(d.received).Seconds())
				tried = append(tried, d.apply.Sub(d.dryRun).Seconds())
				written = append(written, d.applied.Sub(d.apply).Seconds())
				return nil
			},
			func() error { return bare.note(b.bare.apply(ctx, manyAtOnce)) },
		}
		if round%2 == 1 {
			slices.Reverse(sides)
		}
		for _, side := range sides {
			if err := side(); err != nil {
				return fmt.Errorf("round %d: %w", round+1, err)
			}
		}
		b.say("all changed: round %d of %d", round+1, b.settings.rounds)
	}
	name := fmt.Sprintf("all %d changed", b.settings.objects)
	loop := figureOf(name+", bare loop", seconds, bare, "client-go applies them, 16 at once")
	b.add(figureOf(name+", push to applied", seconds, pushed, "until the last was seen in the cluster"))
	b.add(figureOf(name+", spoke", seconds, with, "desired state accepted until the last was seen, each dry-run first").against(loop, 2.2))
	b.add(figureOf(name+", spoke without dry-run", seconds, without, "the same passes less the time of their dry-runs").against(loop, 1.3))
	b.add(figureOf(name+", spoke's plan", seconds, planned, "of it, until the first dry-run: objects fetched and prepared"))
	b.add(figureOf(name+", spoke's dry-runs", seconds, tried, "of it, until the first apply, the inventory saved"))
	b.add(figureOf(name+", spoke's applies", seconds, written, "of it, until the last was seen"))
	b.add(loop)
	return nil
}

// phases are when a pass that changes every object began to try them, and to write them.
type phases struct{ dryRun, apply time.Time }

func phasesOf(requests lab.Requests, s shape) (p phases) {
	for _, r := range requests {
		if r.Verb != "patch" || r.Resource != s.resource.Resource {
			continue
		}
		first := &p.apply
		if r.DryRun {
			first = &p.dryRun
		}
		if first.IsZero() || r.Received.Before(*first) {
			*first = r.Received
		}
	}
	return p
}

// commits are what commits took until they were applied, the same less the hub's build, and the build, in seconds.
type commits struct{ whole, apart, builds sample }

func (c *commits) note(d delivery) {
	took := d.applied.Sub(d.pushed)
	c.whole = append(c.whole, took.Seconds())
	c.apart = append(c.apart, max(0, took-d.build).Seconds())
	c.builds = append(c.builds, d.build.Seconds())
}

// one times commits that change one object.
func (b *bench) one(ctx context.Context) error {
	random := rand.New(rand.NewPCG(1, 0))
	var took commits
	var spoke, calls sample
	sorts := map[string]sample{}
	for i := range b.settings.commits {
		d, err := b.app.deliver(ctx, b.corpus, []int{random.IntN(b.settings.objects)})
		if err != nil {
			return fmt.Errorf("commit %d: %w", i+1, err)
		}
		took.note(d)
		spoke = append(spoke, d.applied.Sub(d.received).Seconds())
		made := d.requests.Where(func(r lab.Request) bool { return r.Resource != "leases" })
		calls = append(calls, float64(len(made)))
		for what, n := range countRequests(made) {
			sorts[what] = append(sorts[what], float64(n))
		}
	}
	name := fmt.Sprintf("1 of %d changed", b.settings.objects)
	b.add(figureOf(name+", push to applied", seconds, took.whole, "by reconcile --with-source, from the push's return"))
	b.add(figureOf(name+", less build", seconds, took.apart, "the same less the hub's time of its build").upTo(0.250))
	b.add(figureOf(name+", build", seconds, took.builds, "by the hub's metric"))
	b.add(figureOf(name+", spoke", seconds, spoke, "desired state accepted until seen in the cluster"))
	b.add(figureOf(name+", API calls", count, calls, "the spoke's, until the app is ready again, its Lease apart").upTo(10))
	for _, what := range slices.Sorted(maps.Keys(sorts)) {
		b.add(figureOf(name+", "+what, count, sorts[what], "of these, in the commits that had any"))
	}
	return nil
}
