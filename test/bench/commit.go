package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
)

// commit times commits that change one object and all objects. In each round the bare loop applies the same, before
// Flotilla or after it in turn, so that a machine that gets slower or faster is fair to both.
func (b *bench) commit(ctx context.Context) error {
	size := b.settings.objects
	random := rand.New(rand.NewPCG(1, 0))
	cases := []*race{
		{change: fmt.Sprintf("1 of %d changed", size), pick: func() []int { return []int{random.IntN(size)} }},
		{change: fmt.Sprintf("all %d changed", size), pick: b.app.corpus.all},
	}
	for round := range b.settings.rounds {
		for _, c := range cases {
			if err := c.run(ctx, b, round%2 == 1); err != nil {
				return fmt.Errorf("round %d, %s: %w", round+1, c.change, err)
			}
		}
		b.say("commit: round %d of %d", round+1, b.settings.rounds)
	}
	for _, c := range cases {
		flotilla := figureOf("commit, "+c.change, seconds, c.flotilla, "push returned, reconcile asked for, until applied")
		bare := figureOf("bare loop, "+c.change, seconds, c.bare, fmt.Sprintf("client-go applies all %d, one after the other", size))
		flotilla.Ratio = bare.Value / flotilla.Value
		b.add(flotilla)
		b.add(bare)
	}
	return nil
}

// race is a change that both sides carry out.
type race struct {
	change         string
	pick           func() []int
	flotilla, bare sample
}

func (r *race) run(ctx context.Context, b *bench, bareFirst bool) error {
	changed := r.pick()
	sides := []func() error{
		func() error { return r.flotilla.note(b.app.deliver(ctx, changed)) },
		func() error { return r.bare.note(b.bare.apply(ctx, changed, 1)) },
	}
	if bareFirst {
		slices.Reverse(sides)
	}
	for _, side := range sides {
		if err := side(); err != nil {
			return err
		}
	}
	return nil
}
