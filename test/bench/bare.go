package main

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
)

// bareLoop is what Flotilla is measured against: client-go alone, which applies every object of a namespace, with
// server-side apply, a field manager and force, and does not look at the answers. Its objects are the app's, with the
// labels and annotations that they have in the cluster: the API server has the same to do. It keeps no books, so it
// cannot leave out what has not changed.
type bareLoop struct {
	client rest.Interface
	corpus *corpus
	view   *view
}

const bareName = "bare-loop"

// newBareLoop returns when its objects are in the cluster, as the app's are by then.
func newBareLoop(ctx context.Context, b *bench) (*bareLoop, error) {
	if err := createNamespace(ctx, b.client, bareName); err != nil {
		return nil, err
	}
	l := &bareLoop{client: restOf(b.client, b.shape), corpus: newCorpus(b.shape, bareName, b.settings.objects)}
	live, err := b.dynamic.Resource(b.shape.resource).Namespace(b.app.name).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	if l.corpus.marks, err = marksOf(live.Items, b.settings.objects, l.corpus.name); err != nil {
		return nil, err
	}
	if l.view, err = startView(ctx, b.dynamic, bareName, b.shape.version, b.shape.resource); err != nil {
		return nil, err
	}
	if _, err := l.apply(ctx, manyAtOnce); err != nil {
		l.view.stop()
		return nil, err
	}
	return l, nil
}

func restOf(client kubernetes.Interface, s shape) rest.Interface {
	if s.resource.Group == "apps" {
		return client.AppsV1().RESTClient()
	}
	return client.CoreV1().RESTClient()
}

// manyAtOnce is how many applies the loop has under way at once, as many as a spoke for all its apps.
const manyAtOnce = 16

// apply gives all objects new versions and applies them, so many at once. It returns the time until the last apply was
// answered and the last new version seen.
func (l *bareLoop) apply(ctx context.Context, atOnce int) (time.Duration, error) {
	reached := l.view.expect(l.corpus.change(l.corpus.all()))
	bodies := make([][]byte, len(l.corpus.versions))
	for i := range bodies {
		var err error
		if bodies[i], err = l.corpus.body(i); err != nil {
			return 0, err
		}
	}
	force := true
	options := &metav1.PatchOptions{FieldManager: bareName, Force: &force}
	began := time.Now()
	applies, applying := errgroup.WithContext(ctx)
	applies.SetLimit(atOnce)
	for i, body := range bodies {
		applies.Go(func() error {
			err := l.client.Patch(types.ApplyPatchType).Namespace(bareName).Resource(l.corpus.shape.resource.Resource).Name(l.corpus.name(i)).
				VersionedParams(options, scheme.ParameterCodec).Body(body).Do(applying).Error()
			if err != nil {
				return fmt.Errorf("apply %s: %w", l.corpus.key(i), err)
			}
			return nil
		})
	}
	if err := applies.Wait(); err != nil {
		return 0, err
	}
	answered := time.Now()
	seen, err := l.view.await(ctx, reached, patience)
	if err != nil {
		return 0, err
	}
	if seen.Before(answered) {
		seen = answered
	}
	return seen.Sub(began), nil
}
