package deploy_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/test/lab"
)

func TestObjectsAreCreatedUpdatedAndPruned(t *testing.T) {
	b := newBundle(t).start()
	b.deploy(b.configMap("a", "1"), b.configMap("b", "1"))
	for _, name := range []string{"a", "b"} {
		labels := b.get(configMaps, name).GetLabels()
		if labels[ownerName] != "app" || labels[ownerNamespace] != b.namespace {
			t.Errorf("%s has labels %v", name, labels)
		}
	}
	target := b.deploy(b.configMap("a", "2"))
	b.value(configMaps, "a", "2", "data", "key")
	if b.get(configMaps, "b") != nil {
		t.Error("b is still there")
	}
	if applied := b.status().Applied; applied != target.Release.Digest() {
		t.Errorf("applied is %s", applied)
	}
}

func TestOneChangedObjectOfAThousandIsOneDryRunAndOneApply(t *testing.T) {
	b := newBundle(t).start()
	objects := make([]string, 1000)
	for i := range objects {
		objects[i] = b.configMap(fmt.Sprintf("cm-%04d", i), "1")
	}
	b.deploy(objects...)
	objects[500] = b.configMap("cm-0500", "2")
	target := b.target(objects...)
	var own lab.Requests
	made := b.requests(func() {
		own = b.ownRequests(func() {
			if err := b.try(target); err != nil {
				t.Fatal(err)
			}
		})
	})
	if len(made) != 2 || made[0].Verb != "patch" || !made[0].DryRun || made[1].Verb != "patch" || made[1].DryRun {
		t.Errorf("one changed object made these requests: %v", made)
	}
	if len(own) > 2 {
		t.Errorf("the inventory took %d requests: %v", len(own), own)
	}
	b.value(configMaps, "cm-0500", "2", "data", "key")

	made = b.requests(func() {
		if err := b.try(target); err != nil {
			t.Fatal(err)
		}
	})
	if len(made) != 0 {
		t.Errorf("an unchanged pass made these requests: %v", made)
	}
}

func TestAnInvalidObjectIsNamedAndNothingOfItsStageIsWritten(t *testing.T) {
	for name, object := range map[string]string{
		"a value out of range":    `{"apiVersion":"v1","kind":"Service","metadata":{"name":"bad","namespace":%q},"spec":{"ports":[{"port":99999}]}}`,
		"an unknown field":        `{"apiVersion":"v1","kind":"Service","metadata":{"name":"bad","namespace":%q},"spec":{"prots":[{"port":80}]}}`,
		"a value of another type": `{"apiVersion":"v1","kind":"Service","metadata":{"name":"bad","namespace":%q},"spec":{"ports":[{"port":"http"}]}}`,
	} {
		t.Run(name, func(t *testing.T) {
			b := newBundle(t).start()
			b.deploy(b.configMap("a", "1"))
			before := b.inventory()[0].ResourceVersion
			err := b.try(b.target(b.configMap("a", "2"), b.configMap("b", "2"), fmt.Sprintf(object, b.namespace)))
			if !errors.Is(err, fleet.ErrInvalid) || !strings.Contains(err.Error(), "Service/"+b.namespace+"/bad") {
				t.Errorf("the error is %v", err)
			}
			if want := "deploy Kustomization/" + b.namespace + "/app: "; !strings.HasPrefix(err.Error(), want) {
				t.Errorf("the error is %v, which does not name the App as people do: %s", err, want)
			}
			b.value(configMaps, "a", "1", "data", "key")
			if b.get(configMaps, "b") != nil {
				t.Error("b was written")
			}
			if b.inventory()[0].ResourceVersion != before {
				t.Error("the inventory was written")
			}
			// The last good state stays: its drift is corrected.
			b.patch(configMaps, "a", "kubectl-edit", `{"data":{"key":"3"}}`)
			b.value(configMaps, "a", "1", "data", "key")
		})
	}
}
