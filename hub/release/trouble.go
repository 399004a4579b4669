package release

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/run"
)

// trouble is how often in a row the hub itself failed to build an App, and when it tries again.
type trouble struct {
	times   int
	told    bool
	until   time.Time
	backoff run.Backoff
}

// toldAfter is the number of failures in a row after which a person is told: fewer may be a database that restarts.
const toldAfter = 3

// postpone puts the next try at an App off that the hub itself failed to build. The App stays as it was. A Tree that
// cannot be had is fetched again.
func (l *Loop) postpone(ctx context.Context, app declaredApp, err error) {
	if ctx.Err() != nil {
		return // stopping
	}
	l.mu.Lock()
	t := l.troubles[app.Key]
	if t == nil {
		t = &trouble{backoff: run.Backoff{Min: time.Second, Max: time.Minute}}
		l.troubles[app.Key] = t
	}
	t.times++
	t.until = time.Now().Add(t.backoff.Next())
	away := errors.Is(err, fleet.ErrUnavailable) // of which nothing could be stored
	tell := t.times >= toldAfter && !t.told && !away
	t.told = t.told || tell
	l.mu.Unlock()
	l.metrics.builds.WithLabelValues("postponed").Inc()
	l.Log.Error("not built by a failure of the hub", "app", app.Key.String(), "revision", app.revision(), "err", err)
	if away {
		return
	}
	reason, message := fleet.ReasonBuildFailed, "the hub could not build it; it is tried again, and the hub's log says more"
	if errors.Is(err, errArtifact) {
		reason, message = fleet.ReasonArtifactFailed, "the hub cannot read what it fetched; the source is fetched again"
		if err := l.Store.ForgetTree(ctx, app.source.state.TreeBlob); err != nil {
			l.Log.Error("lost Tree not forgotten", "app", app.Key.String(), "err", err)
		}
	}
	if tell {
		l.event(ctx, app.Key, reason, message)
	}
}

func (l *Loop) postponeAll(ctx context.Context, apps []declaredApp, err error) {
	for _, app := range apps {
		l.postpone(ctx, app, err)
	}
}

// postponed reports whether it is too early to try the App again.
func (l *Loop) postponed(app fleet.Key) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.troubles[app]
	return t != nil && time.Now().Before(t.until)
}

// settled forgets the troubles with an App.
func (l *Loop) settled(app fleet.Key) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.troubles, app)
}

// forgetTroubles forgets those with Apps that are not declared any more.
func (l *Loop) forgetTroubles(v *view) {
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.troubles, func(key fleet.Key, _ *trouble) bool {
		return !slices.ContainsFunc(v.apps, func(app declaredApp) bool { return app.Key == key })
	})
}
