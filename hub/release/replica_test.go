package release_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"flotilla.dev/flotilla/hub/release"
	"flotilla.dev/flotilla/hub/store"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/render"
)

// gatedBuilder says when a build begins, and lets it go on when it is told to.
type gatedBuilder struct {
	release.Builder
	began chan struct{}
	goOn  chan struct{}
}

func newGatedBuilder() *gatedBuilder {
	return &gatedBuilder{began: make(chan struct{}, 10), goOn: make(chan struct{}, 10)}
}

func (g *gatedBuilder) Build(ctx context.Context, job render.Job) (render.Result, error) {
	g.began <- struct{}{}
	select {
	case <-g.goOn:
	case <-ctx.Done():
	}
	return g.Builder.Build(ctx, job)
}

// watchedStore says which builds were not claimed, and what became of Releases.
type watchedStore struct {
	*store.Store
	refused  chan struct{}
	released chan error
}

func (w *watchedStore) ClaimBuild(ctx context.Context, key fleet.Digest, app fleet.Key, seen uint64) (bool, error) {
	claimed, err := w.Store.ClaimBuild(ctx, key, app, seen)
	if err == nil && !claimed {
		select {
		case w.refused <- struct{}{}:
		default:
		}
	}
	return claimed, err
}

func (w *watchedStore) Released(ctx context.Context, generation int64, revision fleet.Revision, release fleet.Release) (bool, error) {
	isNew, err := w.Store.Released(ctx, generation, revision, release)
	select {
	case w.released <- err:
	default:
	}
	return isNew, err
}

// around puts the gate and the watch around a loop's own parts.
func around(gate *gatedBuilder, watch *watchedStore) func(*release.Config) {
	return func(c *release.Config) {
		gate.Builder, c.Builder = c.Builder, gate
		watch.Store, c.Store = c.Store.(*store.Store), watch
	}
}

func TestTwoReplicasBuildAnAppAtARevisionOnce(t *testing.T) {
	t.Parallel()
	gates := [2]*gatedBuilder{newGatedBuilder(), newGatedBuilder()}
	watches := [2]*watchedStore{{refused: make(chan struct{}, 1)}, {refused: make(chan struct{}, 1)}}
	b := newBundleWith(t, around(gates[0], watches[0]))
	second := b.replica(around(gates[1], watches[1]))
	hash := b.push(map[string]string{"deploy/a.yaml": fmt.Sprintf(configMap, "a", "1")})
	b.applyGit("app", "")
	b.applyApp("app", "deploy")
	builder := 0
	select {
	case <-gates[0].began:
	case <-gates[1].began:
		builder = 1
	}
	<-watches[1-builder].refused   // the other one wanted to
	b.applyApp("twin", "./deploy") // another App with the same build
	<-watches[1-builder].refused
	gates[builder].goOn <- struct{}{}
	b.eventually("app", at(hash))
	b.eventually("twin", at(hash))
	if built := b.metric("flotilla_hub_builds_total", "built") + metric(t, second.registry, "flotilla_hub_builds_total", "built"); built != 1 {
		t.Errorf("%v builds of one App at one revision", built)
	}
}

func TestTwoReplicasTryABuildThatFailsOnce(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	second := b.replica(nil)
	b.push(map[string]string{"deploy/a.yaml": "a: [\n"})
	b.applyGit("app", "")
	b.applyApp("app", "deploy")
	b.eventually("app", failing("deploy/a.yaml"))
	b.push(map[string]string{"deploy/a.yaml": "b: [\n"})
	b.reconcile("app")
	b.eventually("app", failing("deploy/a.yaml"))
	tries := 0.0
	for _, registry := range []*prometheus.Registry{b.registry, second.registry} {
		tries += metric(t, registry, "flotilla_hub_builds_total", "failed")
	}
	if tries != 2 {
		t.Errorf("%v tries of two revisions", tries)
	}
}

func TestSlowReplicaDoesNotTakeAnAppBackToAnOlderRevision(t *testing.T) {
	t.Parallel()
	gate, watch := newGatedBuilder(), &watchedStore{released: make(chan error, 10)}
	b := newBundleWith(t, around(gate, watch))
	first := b.push(map[string]string{"deploy/a.yaml": fmt.Sprintf(configMap, "a", "1")})
	b.applyGit("app", "")
	b.applyApp("app", "deploy")
	<-gate.began // and it is slow
	b.eventuallySource("app", fetched(first))
	b.replica(nil)
	second := b.push(map[string]string{"deploy/a.yaml": fmt.Sprintf(configMap, "a", "2")})
	if _, err := b.BeginRecovery(t.Context(), admin); err != nil { // every upstream is due
		t.Fatal(err)
	}
	newer := b.eventually("app", at(second))
	gate.goOn <- struct{}{}
	if err := <-watch.released; !errors.Is(err, fleet.ErrConflict) {
		t.Errorf("the older one was recorded: %v", err)
	}
	if now := b.eventually("app", at(second)); now.Release != newer.Release {
		t.Errorf("the App went from %s to %s", newer.Release, now.Release)
	}
}
