package main

import (
	"context"
	"encoding/json"
	"fmt"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

const foreignName = "foreign"

// foreign puts objects of the same kind into the cluster that are nobody's, unless they are there.
func (b *bench) foreign(ctx context.Context) error {
	if b.strangers || b.settings.foreign == 0 {
		return nil
	}
	if err := createNamespace(ctx, b.client, foreignName); err != nil {
		return err
	}
	b.say("creating %d foreign %ss", b.settings.foreign, b.shape.kind)
	c := newCorpus(b.shape, foreignName, b.settings.foreign)
	client := restOf(b.client, b.shape)
	creations, ctx := errgroup.WithContext(ctx)
	creations.SetLimit(manyAtOnce)
	for _, i := range c.all() {
		creations.Go(func() error {
			object := c.object(i)
			if spec, has := object["spec"].(map[string]any); has {
				spec["paused"] = true // its controller makes nothing for it
			}
			body, err := json.Marshal(object)
			if err != nil {
				return err
			}
			err = client.Post().Namespace(foreignName).Resource(b.shape.resource.Resource).Body(body).Do(ctx).Error()
			if err != nil && !apierrors.IsAlreadyExists(err) {
				return fmt.Errorf("create %s: %w", c.key(i), err)
			}
			return nil
		})
	}
	if err := creations.Wait(); err != nil {
		return err
	}
	b.strangers = true
	return nil
}
