package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
)

// edit is something that people do by hand.
type edit struct {
	name, means string
	do          func(ctx context.Context, configMaps typedcorev1.ConfigMapInterface, name string) error
	reverts     sample
}

// longestPause is the upper bound of the pause before an edit, which is random so that no edit keeps step with what
// Flotilla does after the one before.
const longestPause = 100 * time.Millisecond

// drift edits objects by hand, each once, and times how soon that is undone. One that is not undone is an error.
func (b *bench) drift(ctx context.Context) error {
	kinds := []*edit{
		{name: "field changed", means: "p50, by kubectl edit of a field that Git sets", do: patched("kubectl-edit", `{"data":{"value":"by hand"}}`)},
		{name: "field added", means: "p50, by kubectl patch, which Git does not set", do: patched("kubectl-patch", `{"data":{"extra":"by hand"}}`)},
		{name: "object deleted", means: "p50, by kubectl delete", do: deleted},
	}
	random := rand.New(rand.NewPCG(2, 0))
	configMaps := b.client.CoreV1().ConfigMaps(appName)
	b.say("drift: %d edits", b.settings.edits)
	var all sample
	for _, i := range random.Perm(b.settings.objects)[:b.settings.edits] {
		kind := kinds[random.IntN(len(kinds))]
		if err := pause(ctx, time.Duration(random.Int64N(int64(longestPause)))); err != nil {
			return err
		}
		took, err := b.revert(ctx, i, func(name string) error { return kind.do(ctx, configMaps, name) })
		if err != nil {
			return fmt.Errorf("edit %d, %s: %w", len(all)+1, kind.name, err)
		}
		kind.reverts = append(kind.reverts, took.Seconds())
		all = append(all, took.Seconds())
	}
	p99 := figureOf("drift, p99", seconds, all, "the same edits")
	p99.Value = all.percentile(99)
	b.add(figureOf("drift, p50", seconds, all, "edits by hand, answered until undone"))
	b.add(p99)
	for _, kind := range kinds {
		if len(kind.reverts) > 0 {
			b.add(figureOf("drift, "+kind.name, seconds, kind.reverts, kind.means))
		}
	}
	return nil
}

// revert edits an object, and returns the time from the answer until it was seen as it should be again.
func (b *bench) revert(ctx context.Context, i int, do func(name string) error) (time.Duration, error) {
	reached := b.app.view.expect(b.app.corpus.wanted([]int{i}))
	if err := do(b.app.corpus.name(i)); err != nil {
		return 0, err
	}
	answered := time.Now()
	seen, err := b.app.view.await(ctx, reached)
	if err != nil {
		return 0, err
	}
	return max(0, seen.Sub(answered)), nil // the revert may be seen before the answer to the edit is read
}

func patched(manager, body string) func(context.Context, typedcorev1.ConfigMapInterface, string) error {
	return func(ctx context.Context, configMaps typedcorev1.ConfigMapInterface, name string) error {
		_, err := configMaps.Patch(ctx, name, types.MergePatchType, []byte(body), metav1.PatchOptions{FieldManager: manager})
		return err
	}
}

func deleted(ctx context.Context, configMaps typedcorev1.ConfigMapInterface, name string) error {
	return configMaps.Delete(ctx, name, metav1.DeleteOptions{})
}
