package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
)

// edit is something that people, and programs, do to an object.
type edit struct {
	name, means string
	do          func(ctx context.Context, objects dynamic.ResourceInterface, k driftKind, name string) error
	reverts     sample
}

const (
	// longestPause is the upper bound of the pause before an edit, which is random so that no edit keeps step with what
	// Flotilla does after the one before.
	longestPause = 100 * time.Millisecond
	// driftPatience is how long an edit may stand before it counts as missed.
	driftPatience = 30 * time.Second
)

// drift edits objects of six kinds by hand, each once, and times how soon that is undone.
func (b *bench) drift(ctx context.Context) error {
	a, err := b.startDrifting(ctx)
	if err != nil {
		return err
	}
	defer a.view.stop()
	edits := []*edit{
		{name: "field changed", means: "p50, by kubectl edit", do: func(ctx context.Context, objects dynamic.ResourceInterface, k driftKind, name string) error {
			return patch(ctx, objects, name, "kubectl-edit", k.change)
		}},
		{name: "field changed by a program", means: "p50, by an update under another name", do: func(ctx context.Context, objects dynamic.ResourceInterface, k driftKind, name string) error {
			return patch(ctx, objects, name, "program", k.change)
		}},
		{name: "label removed", means: "p50, by kubectl label", do: func(ctx context.Context, objects dynamic.ResourceInterface, _ driftKind, name string) error {
			return patch(ctx, objects, name, "kubectl-label", `{"metadata":{"labels":{"tier":null}}}`)
		}},
		{name: "label added", means: "p50, by kubectl label, which Git does not set", do: func(ctx context.Context, objects dynamic.ResourceInterface, _ driftKind, name string) error {
			return patch(ctx, objects, name, "kubectl-label", `{"metadata":{"labels":{"by":"hand"}}}`)
		}},
		{name: "object deleted", means: "p50, by kubectl delete", do: func(ctx context.Context, objects dynamic.ResourceInterface, _ driftKind, name string) error {
			return objects.Delete(ctx, name, metav1.DeleteOptions{})
		}},
	}
	random := rand.New(rand.NewPCG(2, 0))
	b.say("drift: %d edits", b.settings.edits)
	var all sample
	missed := 0
	for _, i := range random.Perm(b.settings.edits) {
		e, k := edits[random.IntN(len(edits))], driftKinds[i%len(driftKinds)]
		if err := pause(ctx, time.Duration(random.Int64N(int64(longestPause)))); err != nil {
			return err
		}
		took, err := b.revert(ctx, a, k, driftName(i), e)
		switch {
		case errors.Is(err, errMissed):
			missed++
			b.say("drift: %s of %s/%s is not undone", e.name, k.name, driftName(i))
			continue
		case err != nil:
			return fmt.Errorf("%s of %s/%s: %w", e.name, k.name, driftName(i), err)
		}
		e.reverts = append(e.reverts, took.Seconds())
		all = append(all, took.Seconds())
	}
	b.add(figureOf("drift, missed", count, sample{float64(missed)}, fmt.Sprintf("of %d edits of six kinds, not undone in %s", b.settings.edits, driftPatience)).upTo(0))
	if len(all) == 0 {
		return nil
	}
	p99 := figureOf("drift, p99", seconds, all, "the same edits")
	p99.Value = all.percentile(99)
	b.add(figureOf("drift, p50", seconds, all, "edits by hand, answered until undone").upTo(0.010))
	b.add(p99.upTo(0.100))
	for _, e := range edits {
		if len(e.reverts) > 0 {
			b.add(figureOf("drift, "+e.name, seconds, e.reverts, e.means))
		}
	}
	return nil
}

func driftName(i int) string { return fmt.Sprintf("d%04d", i) }

// startDrifting brings an object for each edit into the cluster.
func (b *bench) startDrifting(ctx context.Context) (*app, error) {
	a, err := b.newApp(ctx, "drift")
	if err != nil {
		return nil, err
	}
	if err := a.repo.Write("deploy/definition.yaml", widgetDefinition); err != nil {
		return nil, err
	}
	for i := range b.settings.edits {
		if err := a.repo.Write("deploy/"+driftName(i)+".yaml", driftKinds[i%len(driftKinds)].file(driftName(i), a.name)); err != nil {
			return nil, err
		}
	}
	commit, err := a.push(ctx)
	if err != nil {
		return nil, err
	}
	if err := a.declare(ctx, commit); err != nil {
		return nil, err
	}
	resources := make([]schema.GroupVersionResource, 0, len(driftKinds))
	for _, k := range driftKinds[:min(len(driftKinds), b.settings.edits)] {
		resources = append(resources, k.resource)
	}
	a.view, err = startView(ctx, b.dynamic, a.name, shows, resources...)
	return a, err
}

// revert edits an object, and returns the time from the answer until it was seen as it was before.
func (b *bench) revert(ctx context.Context, a *app, k driftKind, name string, e *edit) (time.Duration, error) {
	key := k.name + "/" + name
	reached := a.view.expect(map[string]string{key: a.view.now()[key]})
	if err := e.do(ctx, b.dynamic.Resource(k.resource).Namespace(a.name), k, name); err != nil {
		return 0, err
	}
	answered := time.Now()
	seen, err := a.view.await(ctx, reached, driftPatience)
	if err != nil {
		return 0, err
	}
	return max(0, seen.Sub(answered)), nil // the revert may be seen before the answer to the edit is read
}

func patch(ctx context.Context, objects dynamic.ResourceInterface, name, manager, body string) error {
	_, err := objects.Patch(ctx, name, types.MergePatchType, []byte(body), metav1.PatchOptions{FieldManager: manager})
	return err
}
