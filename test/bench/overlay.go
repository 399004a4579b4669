package main

import (
	"context"
	"fmt"
	"math/rand/v2"
)

// overlay times commits that change one object of an app whose objects are a base under an overlay, which changes every
// one of them.
func (b *bench) overlay(ctx context.Context) error {
	c := newCorpus(b.shape, "overlay", b.settings.objects)
	c.overlaid = true
	a, err := b.deploy(ctx, c)
	if a != nil && a.view != nil {
		defer a.view.stop()
	}
	if err != nil {
		return err
	}
	b.say("%d %ss stand that are a base under an overlay", b.settings.objects, b.shape.kind)
	random := rand.New(rand.NewPCG(3, 0))
	var took commits
	for i := range b.settings.commits {
		d, err := a.deliver(ctx, c, []int{random.IntN(b.settings.objects)})
		if err != nil {
			return fmt.Errorf("commit %d: %w", i+1, err)
		}
		took.note(d)
	}
	name := fmt.Sprintf("1 of %d changed under an overlay", b.settings.objects)
	b.add(figureOf(name+", push to applied", seconds, took.whole, "the same of a base that gets a namespace, a prefix, labels and an image").upTo(0.350))
	b.add(figureOf(name+", less build", seconds, took.apart, "the same less the hub's time of its build"))
	b.add(figureOf(name+", build", seconds, took.builds, "by the hub's metric"))
	return nil
}
