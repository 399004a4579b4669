package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"flotilla.dev/flotilla/test/lab"
)

// rest counts what the spoke asks of the API server while nothing changes, beside many foreign objects, and what it takes
// of the CPU.
func (b *bench) rest(ctx context.Context) error {
	if err := b.foreign(ctx); err != nil {
		return err
	}
	if err := b.quiet(ctx, quietBeforeRest); err != nil {
		return err
	}
	before, err := b.member.Requests(ctx)
	if err != nil {
		return err
	}
	used, err := cpuTime(b.member.Spoke.PID())
	if err != nil {
		return err
	}
	b.say("rest: counting requests for %s", b.settings.rest)
	began := time.Now()
	if err := pause(ctx, b.settings.rest); err != nil {
		return err
	}
	usedNow, err := cpuTime(b.member.Spoke.PID())
	if err != nil {
		return err
	}
	took := time.Since(began)
	all, err := b.member.Requests(ctx)
	if err != nil {
		return err
	}
	requests := all[len(before):].Where(ofSpoke)
	objects := requests.Where(func(r lab.Request) bool { return r.Resource != "leases" && r.Resource != "" && r.Verb != "watch" })
	of := fmt.Sprintf("the spoke's in %s, beside %d foreign %ss", seconds.format(b.settings.rest.Seconds()), b.settings.foreign, b.shape.kind)
	b.add(figureOf("rest, object reads and writes", count, sample{float64(len(objects))}, of).upTo(0))
	b.add(figureOf("rest, API calls", perMinute, sample{float64(len(requests)) / took.Minutes()}, "all of them, by the audit log").upTo(10))
	counts := countRequests(requests)
	for _, what := range slices.Sorted(maps.Keys(counts)) {
		b.add(figureOf("rest, "+what, perMinute, sample{float64(counts[what]) / took.Minutes()}, "of these"))
	}
	b.add(figureOf("rest, spoke's CPU", millicores, sample{1000 * (usedNow - used).Seconds() / took.Seconds()}, "by the kernel's account").upTo(5))
	return nil
}

const quietBeforeRest = 5 * time.Second

// quiet returns when the spoke has asked for nothing but its Lease for a while.
func (b *bench) quiet(ctx context.Context, quietFor time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	last, since := -1, time.Now()
	for {
		all, err := b.member.Requests(ctx)
		if err != nil {
			return err
		}
		busy := all.Where(func(r lab.Request) bool { return ofSpoke(r) && r.Resource != "leases" })
		if len(busy) != last {
			last, since = len(busy), time.Now()
		}
		if time.Since(since) >= quietFor {
			return nil
		}
		if pause(ctx, quietFor/10) != nil {
			latest := slices.Collect(maps.Keys(countRequests(busy[max(0, len(busy)-1):])))
			return errors.New("the spoke does not come to rest: the latest request is " + strings.Join(latest, ""))
		}
	}
}

func ofSpoke(r lab.Request) bool { return strings.HasPrefix(r.UserAgent, "flotilla-spoke/") }

// countRequests counts by verb and resource: "update leases.coordination.k8s.io".
func countRequests(requests lab.Requests) map[string]int {
	counts := map[string]int{}
	for _, r := range requests {
		what := r.Resource
		if r.Group != "" {
			what += "." + r.Group
		}
		if r.Subresource != "" {
			what += "/" + r.Subresource
		}
		counts[r.Verb+" "+cmp.Or(what, r.Path)]++
	}
	return counts
}
