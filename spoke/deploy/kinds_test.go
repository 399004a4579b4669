package deploy_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/health"
)

// group is an API group of the test's own.
func (b *bundle) group() string { return strings.ReplaceAll(b.namespace, "-", "") + ".example.com" }

func (b *bundle) gadget(name string, size int) string {
	return fmt.Sprintf(`{"apiVersion":"%s/v1","kind":"Gadget","metadata":{"name":%q,"namespace":%q},"spec":{"size":%d}}`, b.group(), name, b.namespace, size)
}

func (b *bundle) gadgets() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: b.group(), Version: "v1", Resource: "gadgets"}
}

func TestAnAppMayHaveADefinitionItsObjectsAndTheirNamespace(t *testing.T) {
	b := newBundle(t).start()
	extra := b.namespace + "-extra"
	target := b.deploy(
		b.gadget("g", 1), fmt.Sprintf(widgetDefinition, "gadget", b.group(), "Gadget"),
		fmt.Sprintf(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","namespace":%q}}`, extra),
		fmt.Sprintf(`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":%q}}`, extra),
	)
	b.value(b.gadgets(), "g", 1, "spec", "size")
	b.healthy(fleet.True)

	// Drift of a kind defined a moment ago is seen, and of its definition; then all goes in reverse order.
	b.patch(b.gadgets(), "g", "kubectl-edit", `{"spec":{"size":2}}`)
	b.value(b.gadgets(), "g", 1, "spec", "size")
	b.start()
	b.load(target)
	done := false
	b.eventually("all is gone", func() (err error) {
		done, err = b.tryRemove(fleet.Tombstone{Delete: true, Confirmed: true, Wait: true}, fleet.Digest{})
		if err == nil && !done {
			err = errors.New("not done")
		}
		return err
	})
	if b.getIn("", crds, "gadgets."+b.group()) != nil || b.getIn("", namespaces, extra) != nil {
		t.Error("something is left")
	}
}

func TestAnUnknownKindIsNamedAndTheStagesBeforeStand(t *testing.T) {
	b := newBundle(t).start()
	err := b.try(b.target(b.configMap("a", "1"), b.gadget("g", 1)))
	if !errors.Is(err, fleet.ErrNotFound) || !strings.Contains(err.Error(), "Gadget."+b.group()+"/"+b.namespace+"/g") {
		t.Errorf("error %v", err)
	}
	if b.get(configMaps, "a") != nil {
		t.Error("something of the stage was written")
	}
	b.otherGoesOn()
	// It comes from elsewhere: the next pass finds it.
	if err := b.create(crds, fmt.Sprintf(widgetDefinition, "gadget", b.group(), "Gadget")); err != nil {
		t.Fatal(err)
	}
	b.eventually("the next pass succeeds", func() error { return b.try(b.target(b.configMap("a", "1"), b.gadget("g", 1))) })
}

func TestAMissingKindIsLookedUpOnceAPass(t *testing.T) {
	b := newBundle(t)
	var asked atomic.Int64
	b.intercept(func(r *http.Request) int {
		if r.URL.Path == "/apis/"+b.group()+"/v1" {
			asked.Add(1)
		}
		return 0
	})
	b.start()
	objects := make([]string, 20)
	for i, name := range numbered("g", len(objects)) {
		objects[i] = b.gadget(name, 1)
	}
	for pass := 1; pass <= 2; pass++ {
		if err := b.try(b.target(objects...)); !errors.Is(err, fleet.ErrNotFound) || !strings.Contains(err.Error(), "/g01: ") {
			t.Errorf("error %v", err)
		}
		if n := asked.Load(); n != int64(pass) {
			t.Errorf("after pass %d the API server was asked %d times", pass, n)
		}
	}
}

func TestADefinitionThatIsGoneDoesNotHoldUpTheApp(t *testing.T) {
	b := newBundle(t).start()
	definition := fmt.Sprintf(widgetDefinition, "gadget", b.group(), "Gadget")
	if err := b.create(crds, definition); err != nil {
		t.Fatal(err)
	}
	b.eventually("the pass succeeds", func() error { return b.try(b.target(b.configMap("a", "1"), b.gadget("g", 1))) })
	if err := b.client.Resource(crds).Delete(b.Context(), "gadgets."+b.group(), metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	b.eventually("the object leaves the App", func() error {
		if err := b.try(b.target(b.configMap("a", "1"))); err != nil {
			return err
		}
		if shard := b.entries(); strings.Contains(shard, "Gadget") {
			return errors.New(shard)
		}
		return nil
	})
}

func TestAChangedDefinitionHasItsObjectsLookedAt(t *testing.T) {
	b := newBundle(t).start()
	definition := fmt.Sprintf(widgetDefinition, "gadget", b.group(), "Gadget")
	b.deploy(definition, b.gadget("g", 1))
	verified := func() int {
		all, err := b.cluster.Requests(b.Context())
		if err != nil {
			t.Fatal(err)
		}
		return len(all.Where(func(r labRequest) bool {
			return r.Group == b.group() && r.Verb == "patch" && !r.DryRun && r.UserAgent == b.agent && r.Code < 300
		}))
	}
	before := verified()
	b.deploy(strings.Replace(definition, `"colour"`, `"shape":{"type":"string"},"colour"`, 1), b.gadget("g", 1))
	b.eventually("the object is looked at", func() error {
		if n := verified() - before; n != 1 {
			return fmt.Errorf("%d times", n)
		}
		return nil
	})
}

func TestObjectsAreAppliedInOrder(t *testing.T) {
	b := newBundle(t).start()
	account := fmt.Sprintf(`{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"s","namespace":%q}}`, b.namespace)
	class := fmt.Sprintf(`{"apiVersion":"scheduling.k8s.io/v1","kind":"PriorityClass","metadata":{"name":%q},"value":1}`, b.namespace)
	made := b.requests(func() {
		b.deploy(b.deployment("web", ""), b.configMap("c", "1"), account, class,
			fmt.Sprintf(`{"apiVersion":"v1","kind":"Service","metadata":{"name":"v","namespace":%q},"spec":{"ports":[{"port":80}]}}`, b.namespace))
	})
	var order []string
	for _, r := range made {
		if r.Verb == "patch" && !r.DryRun {
			order = append(order, r.Resource)
		}
	}
	if want := "priorityclasses serviceaccounts configmaps services deployments"; strings.Join(order, " ") != want {
		t.Errorf("the order is %v", order)
	}
	b.release.PruneGuard = "off"
	made = b.requests(func() { b.deploy() })
	order = nil
	for _, r := range made {
		if r.Verb == "delete" && r.Code < 300 {
			order = append(order, r.Resource)
		}
	}
	if want := "deployments services configmaps serviceaccounts priorityclasses"; strings.Join(order, " ") != want {
		t.Errorf("the order of deletion is %v", order)
	}
}

func TestANamespacedObjectWithoutNamespaceGoesToDefault(t *testing.T) {
	b := newBundle(t).start()
	name := "from-" + b.namespace
	b.deploy(fmt.Sprintf(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":%q}}`, name))
	if b.getIn("default", configMaps, name) == nil || !strings.Contains(b.entries(), `"namespace":"default"`) {
		t.Errorf("the inventory is %s", b.entries())
	}
	b.release.PruneGuard = "off"
	b.deploy()
	if b.getIn("default", configMaps, name) != nil {
		t.Error("it is still there")
	}
}

func TestAMissingNamespaceIsAnErrorThatNamesTheObject(t *testing.T) {
	b := newBundle(t).start()
	err := b.try(b.target(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","namespace":"not-there"}}`))
	if !errors.Is(err, fleet.ErrNotFound) || !strings.Contains(err.Error(), "ConfigMap/not-there/a") {
		t.Errorf("error %v", err)
	}
}

func TestSecretsLeaveNoTraceOfTheirContent(t *testing.T) {
	b := newBundle(t).start()
	secret := fmt.Sprintf(`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"s","namespace":%q},"stringData":{"key":"s3cr3t"}}`, b.namespace)
	target := b.deploy(secret)
	if digest := target.Manifest.Entries[0].Digest.String(); strings.Contains(b.entries(), digest) {
		t.Error("the inventory names the content by its plain digest")
	}
	b.value(secrets, "s", "czNjcjN0", "data", "key")
	err := b.try(b.target(strings.Replace(secret, `"stringData"`, `"data":{"a":{"s3cr3t":1}},"stringData"`, 1)))
	if err == nil || strings.Contains(err.Error(), "s3cr3t") {
		t.Errorf("error %v", err)
	}
	if made := b.requests(func() { b.deploy(secret) }); len(made) != 0 {
		t.Errorf("an unchanged pass asked %v", made)
	}
}

func TestModes(t *testing.T) {
	const ssa = "kustomize.toolkit.fluxcd.io/ssa"
	t.Run("IfNotPresent creates once, and again when it is gone", func(t *testing.T) {
		b := newBundle(t).start()
		b.deploy(b.configMap("a", "1", annotations(ssa, "IfNotPresent")))
		b.deploy(b.configMap("a", "2", annotations(ssa, "IfNotPresent")))
		b.patch(configMaps, "a", "kubectl-edit", `{"data":{"key":"3"}}`)
		b.judged()
		b.value(configMaps, "a", "3", "data", "key")
		b.delete(configMaps, "a")
		b.value(configMaps, "a", "2", "data", "key")
		b.deploy(b.configMap("a", "4")) // the Manifest does not say so any more
		b.value(configMaps, "a", "4", "data", "key")
	})
	t.Run("IfNotPresent leaves what is there, and does not own it", func(t *testing.T) {
		b := newBundle(t).start()
		if err := b.create(configMaps, b.configMap("a", "0")); err != nil {
			t.Fatal(err)
		}
		b.release.PruneGuard = "off"
		b.deploy(b.configMap("a", "1", annotations(ssa, "IfNotPresent")))
		b.value(configMaps, "a", "0", "data", "key")
		b.deploy()
		b.canary()
		b.value(configMaps, "a", "0", "data", "key")
	})
	t.Run("Ignore neither applies nor prunes", func(t *testing.T) {
		b := newBundle(t).start()
		b.release.PruneGuard = "off"
		b.deploy(b.configMap("a", "1"), b.configMap("b", "1"))
		made := b.requests(func() {
			b.deploy(b.configMap("a", "2", annotations(ssa, "Ignore")), b.configMap("b", "1"))
			b.deploy(b.configMap("b", "1"))
		})
		b.value(configMaps, "a", "1", "data", "key")
		if len(made) != 0 {
			t.Errorf("requests %v", made)
		}
	})
	for key, value := range map[string]string{ssa: "Ignore", "kustomize.toolkit.fluxcd.io/reconcile": "disabled"} {
		t.Run(value+" in Git ends corrections until it is lifted", func(t *testing.T) {
			b := newBundle(t).start()
			web := b.deployment("web", "")
			b.deploy(b.configMap("a", "1"), web)
			target := b.deploy(b.configMap("a", "2", annotations(key, value)), strings.Replace(web, `"metadata":{`, `"metadata":{"annotations":{"`+key+`":"`+value+`"},`, 1))
			b.patch(configMaps, "a", "kubectl-edit", `{"data":{"key":"3"}}`)
			b.patch(deployments, "web", "kubectl-edit", `{"spec":{"template":{"metadata":{"annotations":{"demo/fail":"image"}}}}}`)
			b.canary()
			b.value(configMaps, "a", "3", "data", "key")
			b.healthy(fleet.True)
			b.start()
			b.load(target)
			b.delete(configMaps, "a")
			b.canary()
			if b.get(configMaps, "a") != nil || b.status().Applied != target.Release.Digest() {
				t.Errorf("after a restart it is put back; the status is %+v", b.status())
			}
			b.deploy(b.configMap("a", "1"), web)
			b.value(configMaps, "a", "1", "data", "key")
			b.value(deployments, "web", nil, "spec", "template", "metadata", "annotations", "demo/fail")
		})
	}
	t.Run("Merge leaves kubectl's fields", func(t *testing.T) {
		b := newBundle(t).start()
		b.deploy(b.configMap("a", "1", annotations(ssa, "Merge")))
		b.patch(configMaps, "a", "kubectl-edit", `{"data":{"extra":"x"}}`)
		b.judged()
		b.value(configMaps, "a", "x", "data", "extra")
		b.patch(configMaps, "a", "kubectl-edit", `{"data":{"key":"2"}}`)
		b.value(configMaps, "a", "1", "data", "key")
	})
	t.Run("reconcile: disabled in the cluster holds drift and changes until it is lifted", func(t *testing.T) {
		b := newBundle(t).start()
		b.deploy(b.configMap("a", "1"))
		b.patch(configMaps, "a", "someone", `{"metadata":{"annotations":{"kustomize.toolkit.fluxcd.io/reconcile":"disabled"}},"data":{"key":"mine"}}`)
		b.judged()
		b.value(configMaps, "a", "mine", "data", "key")
		b.deploy(b.configMap("a", "2"))
		b.deploy(b.configMap("a", "2"))
		b.judged()
		b.value(configMaps, "a", "mine", "data", "key")
		b.patch(configMaps, "a", "someone", `{"metadata":{"annotations":{"kustomize.toolkit.fluxcd.io/reconcile":null}}}`)
		b.value(configMaps, "a", "2", "data", "key")
	})
}

func TestAnObjectFoughtOverIsAConflict(t *testing.T) {
	b := newBundle(t).start()
	b.deploy(b.configMap("a", "1"))
	deadline := time.Now().Add(patienceOfTest)
	for i := 1; len(b.status().Conflicts) == 0; i++ {
		if time.Now().After(deadline) {
			t.Fatalf("no conflict after %d rounds: %+v", i, b.status())
		}
		b.patch(configMaps, "a", "someone", `{"data":{"key":"2"}}`)
		b.eventually("it is put back, or that is given up", func() error {
			if s := b.status(); s.DriftCorrections < uint64(i) && len(s.Conflicts) == 0 {
				return fmt.Errorf("%+v", s)
			}
			return nil
		})
	}
	if s := b.status(); s.Healthy.Status != fleet.False || s.NotReady[0].Status != health.Conflict {
		t.Errorf("status %+v", s)
	}
}
