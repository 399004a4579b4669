package render

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Health is how a pool fares.
type Health struct {
	// Waiting is how many builds wait for their turn, and Longest how long the first of them has.
	Waiting int
	Longest time.Duration
	// Err is why no worker can be had; nil: the last one that was wanted could.
	Err error
}

// Health returns how the pool fares now.
func (p *Pool) Health() Health {
	var h Health
	h.Waiting, h.Longest = p.turns.Waiting()
	p.mu.Lock()
	defer p.mu.Unlock()
	h.Err = errors.Join(p.notStarted, p.notBegun)
	return h
}

// began notes whether a fresh worker, which a build was given, came so far as to begin it.
func (p *Pool) began(used bool, err error) {
	var gone *goneError
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case used: // it did begin once, and why it is gone says nothing of fresh ones
	case errors.As(err, &gone):
		p.notBegun = gone
	case !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded):
		p.notBegun = nil
	}
}

// watch registers what is read of the pool when metrics are collected.
func (p *Pool) watch(reg prometheus.Registerer) {
	if reg == nil {
		return
	}
	for _, g := range []struct {
		name, help string
		read       func() float64
	}{
		{"flotilla_render_waiting", "Builds that wait for a worker.", func() float64 { return float64(p.Health().Waiting) }},
		{"flotilla_render_waiting_longest_seconds", "Time that the first of the builds has waited that wait for a worker.", func() float64 { return p.Health().Longest.Seconds() }},
		{"flotilla_render_workers", "Worker processes, at work, ready or waiting for their tenant's next build.", func() float64 { return float64(p.count()) }},
		{"flotilla_render_up", "1 when workers start, 0 when the last one that was wanted did not.", func() float64 {
			if p.Health().Err != nil {
				return 0
			}
			return 1
		}},
	} {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: g.name, Help: g.help}, g.read))
	}
}

func (p *Pool) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.workers)
}
