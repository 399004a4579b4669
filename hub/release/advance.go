package release

import (
	"context"
	"slices"

	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/fleet"
)

// together is how many Apps are looked up, and recorded, at a time.
const together = 200

// nobody is whose turn a search is made in, which is for Apps of any namespace and soon over.
const nobody = ""

// lookup names the search for the builds of the Apps on a Tree.
type lookup fleet.Digest

// start begins what is to be done for the Apps that are behind. Those that have a Tree are looked up first, all on the
// same Tree together: mostly a commit touches few of them, and the others have their build already.
func (l *Loop) start(ctx context.Context, apps []declaredApp) {
	on := map[fleet.Digest][]declaredApp{}
	for _, app := range apps {
		switch {
		case l.postponed(app.Key) || l.isBusy(app.Key, buildOf(app)):
		case app.lacks() != nil:
			l.startBuild(ctx, app)
		default:
			blob := app.source.state.TreeBlob
			on[blob] = append(on[blob], app)
		}
	}
	for blob, apps := range on {
		l.begin(ctx, l.turns, nobody, func() bool { return l.advance(ctx, blob, apps) }, lookup(blob))
	}
}

// buildOf names the build of an App among what is being worked at.
func buildOf(app declaredApp) any { return buildAttempt(attempt(app)) }

type buildAttempt fleet.Digest

func (l *Loop) startBuild(ctx context.Context, app declaredApp) {
	l.begin(ctx, l.turns, app.Key.Namespace, func() bool { return l.build(ctx, app) }, app.Key, buildOf(app))
}

// advance brings Apps on one Tree to the Revision of their Source whose builds are known, and begins the builds of the
// others. It reports whether that may have left something to do.
func (l *Loop) advance(ctx context.Context, blob fleet.Digest, apps []declaredApp) (again bool) {
	tree, err := l.trees.get(ctx, blob)
	if err != nil {
		l.postponeAll(ctx, apps, err)
		return false
	}
	for some := range slices.Chunk(apps, together) {
		known, err := l.known(ctx, tree, some)
		recorded := 0
		if err == nil {
			recorded, err = l.recordKnown(ctx, some, known)
		}
		if err != nil {
			l.postponeAll(ctx, some, err)
			continue
		}
		again = again || recorded > 0
		for _, app := range some {
			if _, is := known[app.Key]; !is {
				l.startBuild(ctx, app)
			}
		}
	}
	return again
}

// known returns the Manifests of the Apps whose files are those that a last build looked at.
func (l *Loop) known(ctx context.Context, tree *artifact.Tree, apps []declaredApp) (map[fleet.Key]fleet.Digest, error) {
	inputs, err := l.Store.BuildInputs(ctx, recipesOf(apps))
	if err != nil {
		return nil, err
	}
	looks := newLooks(inputs)
	keys := make(map[fleet.Key][]fleet.Digest, len(apps))
	var all []fleet.Digest
	for _, app := range apps {
		if keys[app.Key], err = looks.keys(app, tree); err != nil {
			l.tellUnread(app, err)
		}
		all = append(all, keys[app.Key]...)
	}
	manifests, err := l.Store.BuiltManifests(ctx, all)
	if err != nil {
		return nil, err
	}
	known := map[fleet.Key]fleet.Digest{}
	for _, app := range apps {
		if i := slices.IndexFunc(keys[app.Key], func(key fleet.Digest) bool { return !manifests[key].IsZero() }); i >= 0 {
			known[app.Key] = manifests[keys[app.Key][i]]
		}
	}
	return known, nil
}

// knownEarlier returns the Manifest of an App that is as it was before its last build; zero: it is not. It mostly stays so
// for some commits, which find the build first from then on. This is done in the App's own turn, and not for many at a
// time: what sixteen builds looked at is much to read.
func (l *Loop) knownEarlier(ctx context.Context, tree *artifact.Tree, app declaredApp) (fleet.Digest, error) {
	earlier, err := l.Store.EarlierInputs(ctx, app.Key, recipe(app))
	if err != nil || len(earlier) == 0 {
		return fleet.Digest{}, err
	}
	keys := make([]fleet.Digest, len(earlier))
	for i, encoded := range earlier {
		inputs, err := decodeInputs(encoded)
		if err != nil {
			l.tellUnread(app, err)
			continue
		}
		keys[i] = keyOf(app, tree, inputs)
	}
	manifests, err := l.Store.BuiltManifests(ctx, keys)
	if err != nil {
		return fleet.Digest{}, err
	}
	for i, encoded := range earlier {
		if manifest, is := manifests[keys[i]]; is {
			return manifest, l.Store.SaveBuild(ctx, keys[i], manifest, fleet.BuildInputs{App: app.Key, Recipe: recipe(app), Inputs: encoded})
		}
	}
	return fleet.Digest{}, nil
}

func recipesOf(apps []declaredApp) map[fleet.Key]fleet.Digest {
	recipes := make(map[fleet.Key]fleet.Digest, len(apps))
	for _, app := range apps {
		recipes[app.Key] = recipe(app)
	}
	return recipes
}

func (l *Loop) tellUnread(app declaredApp, err error) {
	l.Log.Warn("not known whether it was built before", "app", app.Key.String(), "err", err)
}

// recordKnown records the Releases of the Apps whose Manifest is known, and returns of how many.
func (l *Loop) recordKnown(ctx context.Context, apps []declaredApp, known map[fleet.Key]fleet.Digest) (int, error) {
	var built []fleet.Built
	byKey := map[fleet.Key]declaredApp{}
	for _, app := range apps {
		if manifest, is := known[app.Key]; is {
			b := app.built(manifest)
			b.Seen = &app.state.Version // another replica may have done the same
			built = append(built, b)
			byKey[app.Key] = app
		}
	}
	if len(built) == 0 {
		return 0, nil
	}
	recorded, err := l.Store.ReleasedAll(ctx, built)
	if err != nil {
		return 0, err
	}
	l.metrics.builds.WithLabelValues("found").Add(float64(len(recorded)))
	for key, app := range byKey {
		isNew, is := recorded[key]
		if !is {
			l.tellStale(app)
			continue
		}
		l.settled(key)
		l.tellReleased(app, isNew)
	}
	return len(recorded), nil
}
