package build

import (
	"cmp"
	"context"
	"fmt"
	"sync"

	"sigs.k8s.io/kustomize/kyaml/filesys"

	"flotilla.dev/flotilla/pkg/build/engine"
	"flotilla.dev/flotilla/pkg/fleet"
)

// Options are what a Builder needs.
type Options struct {
	// CacheBytes bounds what is kept between builds, all of it together; zero is 64 MiB.
	CacheBytes int64
	// CheckEvery has one in that many builds that kustomize itself did not make repeated by it, at random; zero: none, one: all.
	CheckEvery int
	// Kustomizing is told before kustomize itself makes a build, and why: of the Output there is the Way, the Reason and
	// the Cause. That may take long: its time grows with the square of the number of objects. Nil: nobody is told.
	Kustomizing func(plan *Plan, out Output)
	// Checking is told what was built, before kustomize repeats it: that takes longer than the build did, and whoever ends
	// it has the Output nevertheless. Nil: nobody is told.
	Checking func(plan *Plan, out Output)
}

// Builder makes builds as cheaply as it can, with kustomize's own output. What it is not sure of kustomize itself
// builds, whose result, or error, is the answer.
type Builder struct {
	options Options
	plans   *plans
	outputs *outputs
	engine  maker // of plain trees, and of those of its class

	mu         sync.Mutex
	distrusted map[fleet.Digest]bool
}

// maker builds what is in a file system of kustomize's. Any error but the context's says no more than that another has to
// do it.
type maker interface {
	Build(ctx context.Context, fsys filesys.FileSystem, dir string) ([][]byte, error)
}

// NewBuilder returns a Builder.
func NewBuilder(options Options) *Builder {
	options.CacheBytes = cmp.Or(options.CacheBytes, 64<<20)
	kept := options.CacheBytes / 8
	general := engine.New(options.CacheBytes - 2*kept)
	return &Builder{
		options:    options,
		plans:      newPlans(kept, general),
		outputs:    newOutputs(kept),
		engine:     general,
		distrusted: map[fleet.Digest]bool{},
	}
}

// Output is what a build made.
type Output struct {
	// Objects are as those of the function Build. They are shared: nobody changes them.
	Objects [][]byte
	// Way is how they were made: ClassPlain, ClassEngine or ClassKustomize; Reason says why so, with the file and the
	// field where there are such.
	Way    Class
	Reason string
	// Cause is the Reason, as far as it is not the tree's own Class.
	Cause Cause
	// Found says that they were kept from an earlier build of the same Key.
	Found bool
	// Checked says that kustomize repeated the build, and Skipped that it should have: the build is too large for that, or
	// what it reads could not be had. Difference is where it did not come to the same: its own is the output then.
	Checked, Skipped bool
	Difference       *Difference
}

// Cause is why kustomize itself made a build of another class.
type Cause string

// Causes.
const (
	CauseDoubt      Cause = "doubt"      // the engine was not sure of it
	CauseDistrust   Cause = "distrust"   // another build of such a tree was not what kustomize made of it
	CauseDifference Cause = "difference" // this one was not
)

// Build plans a build and makes it. Its objects and errors are those of the function Build.
func (b *Builder) Build(ctx context.Context, fsys FileSystem, dir string, spec fleet.BuildSpec) (Output, error) {
	plan, err := b.Plan(ctx, fsys, dir, spec)
	if err != nil {
		return Output{}, err
	}
	return b.Run(ctx, plan)
}

// Plan is as NewPlan, and cheap where an earlier plan of the same directory and spec holds.
func (b *Builder) Plan(ctx context.Context, fsys FileSystem, dir string, spec fleet.BuildSpec) (*Plan, error) {
	return b.plans.plan(ctx, fsys, dir, spec)
}

// Run makes a build that was planned, once. With an error the Output still says how, and what was found out.
func (b *Builder) Run(ctx context.Context, plan *Plan) (Output, error) {
	if plan.Class == ClassEncrypted {
		return Output{}, &EncryptedError{plan.Encrypted}
	}
	if out, found := b.outputs.get(plan.Key); found {
		return out, nil
	}
	t := plan.tree
	t.ctx = ctx
	defer t.begin()()
	out, err := b.run(ctx, plan)
	if err := t.explain(err); err != nil {
		out.Objects = nil
		return out, err
	}
	b.outputs.put(plan.Key, out)
	return out, nil
}

func (b *Builder) run(ctx context.Context, plan *Plan) (Output, error) {
	out := Output{Way: plan.Class, Reason: plan.Why()}
	switch {
	case plan.Class == ClassKustomize:
	case b.distrusts(plan.Shape):
		out.Cause = CauseDistrust
		out.Reason = "another build of such a tree did not come to what kustomize made of it"
	default:
		objects, err := plan.try(ctx, b.engine)
		switch {
		case ctx.Err() != nil:
			return out, plan.tree.fail(fmt.Errorf("build: %w", ctx.Err()))
		case plan.tree.failure != nil:
			return out, plan.tree.failure
		case err == nil:
			if err := bounded(objects); err != nil {
				return out, err
			}
			out.Objects = objects
			return b.check(plan, out)
		}
		out.Cause, out.Reason = CauseDoubt, tidy(err.Error())
	}
	out.Way = ClassKustomize
	if b.options.Kustomizing != nil {
		b.options.Kustomizing(plan, out)
	}
	var err error
	out.Objects, err = plan.tree.kustomize(plan.top)
	return out, err
}

// try has a maker build, whatever that does.
func (p *Plan) try(ctx context.Context, maker maker) (objects [][]byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			objects, err = nil, fmt.Errorf("it panicked: %v", r)
		}
	}()
	return maker.Build(ctx, p.tree, absolute(p.Dir))
}

// Distrust has kustomize itself build trees of these shapes from now on.
func (b *Builder) Distrust(shapes ...fleet.Digest) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, shape := range shapes {
		b.distrusted[shape] = true
	}
	b.outputs.clear() // some may be of such trees
}

func (b *Builder) distrusts(shape fleet.Digest) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.distrusted[shape]
}
