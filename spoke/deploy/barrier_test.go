package deploy_test

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/deploy"
)

// refOf names an object of the test's namespace.
func (b *bundle) refOf(gk schema.GroupKind, name string) fleet.ObjectRef {
	return fleet.ObjectRef{Group: gk.Group, Kind: gk.Kind, Namespace: b.namespace, Name: name}
}

// judged waits until the engine takes the App's objects in the test's namespace, as they are now, for what they should
// be: it has seen all that happened to them and has no more to do.
func (b *bundle) judged() {
	b.Helper()
	b.eventually("the engine has judged all objects", func() error {
		for _, resource := range []schema.GroupVersionResource{configMaps, secrets, services, deployments, widgets} {
			list, err := b.client.Resource(resource).Namespace(b.namespace).List(b.Context(), metav1.ListOptions{
				LabelSelector: ownerName + "=" + b.app.Name,
			})
			if apierrors.IsNotFound(err) {
				continue // no Widgets here
			}
			if err != nil {
				return err
			}
			for _, item := range list.Items {
				clean, moved := b.engine.Judged(b.refOf(item.GroupVersionKind().GroupKind(), item.GetName()))
				if moved || strconv.FormatUint(clean, 10) != item.GetResourceVersion() {
					return fmt.Errorf("%s/%s is at %s, judged up to %d, moved: %t", item.GetKind(), item.GetName(), item.GetResourceVersion(), clean, moved)
				}
			}
		}
		return nil
	})
}

// moved waits until the engine has seen that these ConfigMaps are not as they should be, and could not put that right.
func (b *bundle) moved(names ...string) {
	b.Helper()
	b.eventually("the engine has a finding", func() error {
		if i := slices.IndexFunc(names, func(name string) bool {
			_, moved := b.engine.Judged(b.refOf(schema.GroupKind{Kind: "ConfigMap"}, name))
			return !moved
		}); i >= 0 {
			return errors.New("none about " + names[i])
		}
		return nil
	})
}

// canary waits until the engine has put right what happened to a ConfigMap of another App. What had happened to other
// ConfigMaps before, it has seen by then, and begun to deal with.
func (b *bundle) canary() {
	b.Helper()
	b.canaries++
	name := fmt.Sprintf("canary%d", b.canaries) // a new one each time: this is no fight
	if err := b.try(b.of("canary", b.target(b.configMap(name, "1")))); err != nil {
		b.Fatal(err)
	}
	for range 2 { // the second comes after all that the first came together with
		b.patch(configMaps, name, "someone", `{"data":{"key":"2"}}`)
		b.value(configMaps, name, "1", "data", "key")
	}
}

// atRest lets some time pass in which there is something to do for another App only.
func (b *bundle) atRest() {
	b.Helper()
	for range 5 {
		b.canary()
	}
}

// comesToRest waits until the App asks nothing for some time, as what a watch has just told may still be read, and fails
// if it asks anything from then on.
func (b *bundle) comesToRest() {
	b.Helper()
	b.eventually("rest", func() error {
		if made := b.requests(b.atRest); len(made) != 0 {
			return fmt.Errorf("at rest there are requests: %v", made)
		}
		return nil
	})
	if made := b.requests(b.atRest); len(made) != 0 {
		b.Errorf("at rest there are requests: %v", made)
	}
}

// of makes another App's target of one.
func (b *bundle) of(app string, target deploy.Target) deploy.Target {
	target.App.Name, target.Release.App.Name = app, app
	return target
}
