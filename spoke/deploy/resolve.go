package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/manifest"
)

// ErrResolve says that the objects of an App cannot be made of its Manifest in this cluster: a variable is not set, or
// what it refers to is not there. Nothing was changed.
var ErrResolve = errors.New("resolve")

// resolve makes the objects of a Manifest this cluster's, in the order in which they are applied. What it was made of is
// remembered: with unchanged inputs only new blobs are looked at. Who calls it has the App's token. With an error come
// the objects that could be made.
func (e *Engine) resolve(ctx context.Context, a *app, t Target) (materials []material, err error) {
	defer func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.objects = len(materials)
		if err != nil && t.Manifest.Build().IsZero() {
			a.objects = len(t.Manifest.Entries)
		}
	}()
	in, err := e.gather(ctx, a, t)
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrResolve, err)
	}
	if in == nil {
		return plainOf(t.Manifest.Entries), err
	}
	entries := t.Manifest.Entries
	if in.built != nil {
		entries = in.built.entries
	}
	materials = make([]material, 0, len(entries))
	known := make(map[fleet.Digest]material)
	var problems []error
	for _, source := range entries {
		if !in.concerns(source) {
			materials = append(materials, material{source, origin{source: source}})
			continue
		}
		m, has := in.known[source.Digest]
		if !has {
			if m, err = in.material(ctx, source, a.blob); err != nil {
				problems = append(problems, err)
				continue
			}
		}
		known[source.Digest] = m
		materials = append(materials, m)
	}
	in.known = known
	slices.SortFunc(materials, func(x, y material) int { return x.Entry.Compare(y.Entry) })
	problems = append(problems, twice(materials)...)
	if len(problems) > 0 {
		return materials, fmt.Errorf("%w: %w", ErrResolve, join(problems))
	}
	return materials, nil
}

// plainOf are the entries of which nothing is to be resolved.
func plainOf(entries []manifest.Entry) []material {
	materials := make([]material, 0, len(entries))
	for _, source := range entries {
		if !source.IsText() && !source.Part {
			materials = append(materials, material{source, origin{source: source}})
		}
	}
	return materials
}

// concerns reports whether an entry may come out as something else than its blob.
func (in *inputs) concerns(source manifest.Entry) bool {
	return source.IsText() || in.built != nil || in.patches != nil && in.patches.May(source.Ref)
}

func (in *inputs) material(ctx context.Context, source manifest.Entry, blobs func(fleet.Digest) ([]byte, error)) (material, error) {
	m, err := in.make(ctx, source, blobs)
	if err != nil {
		return material{}, err
	}
	from := origin{source: source, inputs: in, secret: m.secret}
	if m.plain {
		from.inputs = nil
	}
	return material{m.entry, from}, nil
}

// twice names the objects that variables have given the name of another.
func twice(materials []material) (problems []error) {
	seen := make(map[fleet.ObjectRef]fleet.ObjectRef, len(materials))
	for _, m := range materials {
		id := m.Ref.ID()
		if first, has := seen[id]; has {
			problems = append(problems, fmt.Errorf("%w: %s and %s are the same object, %s", fleet.ErrInvalid, first, m.source.Ref, m.Ref))
		}
		seen[id] = m.source.Ref
	}
	return problems
}
