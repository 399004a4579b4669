package build

import (
	"context"
	"fmt"
	"sync/atomic"

	"flotilla.dev/flotilla/pkg/build/cache"
	"flotilla.dev/flotilla/pkg/fleet"
)

// plans keeps the last plans, within a number of bytes: for most trees one of them holds, as a commit mostly changes what
// a plan only asks for.
type plans struct {
	kept     *cache.Cache[string, []*Plan] // by directory and spec, the newest first; their trees are not to be used
	reader   reader
	repeated atomic.Int64 // plans that held
}

// plansPerSpec is how many plans are kept of a directory with a spec: of several sources, or of before and after a change
// that is taken back.
const plansPerSpec = 4

func newPlans(limit int64, reader reader) *plans {
	return &plans{kept: cache.New[string, []*Plan](limit), reader: reader}
}

func (p *plans) plan(ctx context.Context, fsys FileSystem, dir string, spec fleet.BuildSpec) (*Plan, error) {
	of := dir + "\x00" + string(spec.Encode())
	known, _ := p.kept.Get(of)
	t := newTree(ctx, fsys)
	reads := func(name string) bool { return p.reader != nil && p.reader.Reads(ctx, t, absolute(name)) }
	for _, earlier := range known {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("build: %w", err)
		}
		now, same, equal, err := repeat(fsys, earlier.looks, reads)
		switch {
		case err != nil:
			return nil, err
		case same:
			p.repeated.Add(1)
			return earlier.again(ctx, fsys, spec, now, equal), nil
		}
	}
	plan, err := newPlan(ctx, fsys, dir, spec, p.reader)
	if err != nil {
		return nil, err
	}
	known = append([]*Plan{plan.forKeeping()}, known[:min(len(known), plansPerSpec-1)]...)
	size := int64(0)
	for _, plan := range known {
		size += plan.bytes()
	}
	p.kept.Put(of, known, size)
	return plan, nil
}

// again is the plan of another tree, in which what it looked at is now this.
func (p *Plan) again(ctx context.Context, fsys FileSystem, spec fleet.BuildSpec, now []look, equal bool) *Plan {
	next := *p
	if !equal {
		next.looks, next.Key = now, planKey(p.Dir, spec, now)
	}
	t := newTree(ctx, fsys)
	t.overlaid, t.schemaChanged = p.tree.overlaid, p.Schema
	t.files[t.overlaid], t.parsed[t.overlaid] = p.tree.files[t.overlaid], p.tree.parsed[t.overlaid]
	if t.topSize = p.tree.topSize; t.topSize > 0 { // what a build reads does not depend on what was kept
		_ = t.count(t.overlaid, t.topSize) // within the limit alone, as it was before
	}
	next.tree = t
	return &next
}

// forKeeping leaves out of a plan's tree what a plan of another one does not need.
func (p *Plan) forKeeping() *Plan {
	return p.again(context.Background(), nil, fleet.BuildSpec{}, nil, true)
}

// bytes is about what a kept plan takes.
func (p *Plan) bytes() int64 {
	size := int64(4 * len(p.tree.files[p.tree.overlaid]))
	for _, look := range p.looks {
		size += int64(len(look.input)) + 2*keptOverhead
	}
	return size
}
