package main

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/kubernetes"
)

// bareLoop is what Flotilla is measured against: client-go alone, which applies every ConfigMap of a namespace, with
// server-side apply, a field manager and force. It keeps no books, so it cannot leave out what has not changed.
type bareLoop struct {
	client kubernetes.Interface
	corpus *corpus
	view   *view
}

const bareName = "bare-loop"

// newBareLoop returns when its objects are in the cluster.
func newBareLoop(ctx context.Context, client kubernetes.Interface, size int) (*bareLoop, error) {
	if err := createNamespace(ctx, client, bareName); err != nil {
		return nil, err
	}
	l := &bareLoop{client: client, corpus: newCorpus(bareName, size)}
	var err error
	if l.view, err = startView(ctx, client, bareName); err != nil {
		return nil, err
	}
	if _, err := l.apply(ctx, l.corpus.all(), manyAtOnce); err != nil {
		l.view.stop()
		return nil, err
	}
	return l, nil
}

// manyAtOnce is how many objects a spoke has under way at once.
const manyAtOnce = 8

// apply gives some objects new values and applies all, so many at once. It returns the time until the last apply was
// answered and the last new value seen.
func (l *bareLoop) apply(ctx context.Context, changed []int, atOnce int) (time.Duration, error) {
	reached := l.view.expect(l.corpus.change(changed))
	var objects []*applycorev1.ConfigMapApplyConfiguration
	for _, i := range l.corpus.all() {
		objects = append(objects, applycorev1.ConfigMap(l.corpus.name(i), bareName).WithData(l.corpus.data(i)))
	}
	configMaps := l.client.CoreV1().ConfigMaps(bareName)
	options := metav1.ApplyOptions{FieldManager: bareName, Force: true}

	began := time.Now()
	applies, applying := errgroup.WithContext(ctx)
	applies.SetLimit(atOnce)
	for _, object := range objects {
		applies.Go(func() error {
			if _, err := configMaps.Apply(applying, object, options); err != nil {
				return fmt.Errorf("apply ConfigMap %s: %w", *object.Name, err)
			}
			return nil
		})
	}
	if err := applies.Wait(); err != nil {
		return 0, err
	}
	answered := time.Now()
	seen, err := l.view.await(ctx, reached)
	if err != nil {
		return 0, err
	}
	if seen.Before(answered) {
		seen = answered
	}
	return seen.Sub(began), nil
}
