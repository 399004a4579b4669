package deploy_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"flotilla.dev/flotilla/pkg/fleet"
)

var claims = schema.GroupVersionResource{Version: "v1", Resource: "persistentvolumeclaims"}

const force = "kustomize.toolkit.fluxcd.io/force"

// frozen is a ConfigMap whose data cannot be changed.
func (b *bundle) frozen(name, value string, extra ...string) string {
	return strings.Replace(b.configMap(name, value, extra...), `"kind":`, `"immutable":true,"kind":`, 1)
}

func (b *bundle) uid(resource schema.GroupVersionResource, name string) types.UID {
	b.Helper()
	object := b.get(resource, name)
	if object == nil {
		b.Fatalf("there is no %s", name)
	}
	return object.GetUID()
}

func TestForceMakesAnewWhatCannotBeChanged(t *testing.T) {
	secret := func(b *bundle, kind string) string {
		return fmt.Sprintf(`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"it","namespace":%q},"type":%q,"stringData":{"key":"1"}}`, b.namespace, kind)
	}
	for name, objects := range map[string]func(b *bundle) (schema.GroupVersionResource, string, string){
		"a frozen ConfigMap": func(b *bundle) (schema.GroupVersionResource, string, string) {
			return configMaps, b.frozen("it", "1"), b.frozen("it", "2")
		},
		"a Deployment's selector": func(b *bundle) (schema.GroupVersionResource, string, string) {
			before := b.deployment("it", "")
			return deployments, before, strings.ReplaceAll(before, `"app":"it"`, `"app":"other"`)
		},
		"a Secret's type": func(b *bundle) (schema.GroupVersionResource, string, string) {
			return secrets, secret(b, "example.com/one"), secret(b, "example.com/two")
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBundle(t).start()
			resource, before, after := objects(b)
			if before == after {
				t.Fatalf("nothing changes in %s", before)
			}
			b.deploy(before, b.configMap("beside", "1"))
			was, beside := b.uid(resource, "it"), b.uid(configMaps, "beside")

			// Without force nothing of it happens.
			if err := b.try(b.target(after, b.configMap("beside", "2"))); err == nil || b.uid(resource, "it") != was {
				t.Fatalf("without force: %v", err)
			}
			b.value(configMaps, "beside", "1", "data", "key")

			b.release.Force = true
			target := b.deploy(after, b.configMap("beside", "2"))
			if b.uid(resource, "it") == was || b.uid(configMaps, "beside") != beside {
				t.Error("it is not the one object that was made anew")
			}
			if len(b.eventsOf("Recreated")) != 1 || b.status().Applied != target.Release.Digest() {
				t.Errorf("events %v, status %+v", b.eventsOf("Recreated"), b.status())
			}
			now := b.uid(resource, "it")
			target.Verify = true
			if err := b.try(target); err != nil || b.uid(resource, "it") != now {
				t.Errorf("it is made anew again: %v", err)
			}
		})
	}
}

func TestForceOfAnObjectsOwnAnnotation(t *testing.T) {
	t.Run("in its source", func(t *testing.T) {
		b := newBundle(t).start()
		b.deploy(b.frozen("it", "1"))
		was := b.uid(configMaps, "it")
		b.deploy(b.frozen("it", "2", annotations(force, "Enabled")))
		if b.uid(configMaps, "it") == was {
			t.Error("it is not made anew")
		}
	})
	t.Run("in the cluster", func(t *testing.T) {
		b := newBundle(t).start()
		b.deploy(b.frozen("it", "1"))
		was := b.uid(configMaps, "it")
		b.patch(configMaps, "it", "someone", `{"metadata":{"labels":{"`+force+`":"enabled"}}}`)
		b.deploy(b.frozen("it", "2"))
		if b.uid(configMaps, "it") == was {
			t.Error("it is not made anew")
		}
	})
}

func TestForceLeavesWhatIsNotToBeTouched(t *testing.T) {
	b := newBundle(t).start()
	b.release.Force = true
	b.deploy(b.frozen("it", "1"))
	was := b.uid(configMaps, "it")
	b.patch(configMaps, "it", "someone", `{"metadata":{"annotations":{"kustomize.toolkit.fluxcd.io/reconcile":"disabled"}}}`)
	b.deploy(b.frozen("it", "2"))
	b.value(configMaps, "it", "1", "data", "key")
	if b.uid(configMaps, "it") != was {
		t.Error("it was made anew")
	}
}

func TestForceDeletesNothingThatCouldNotBeMadeAgain(t *testing.T) {
	t.Run("what is invalid in any case", func(t *testing.T) {
		b := newBundle(t).start()
		b.release.Force = true
		web := b.deployment("it", "")
		b.deploy(web)
		was := b.uid(deployments, "it")
		err := b.try(b.target(strings.Replace(web, `"revisionHistoryLimit":3`, `"revisionHistoryLimit":-3`, 1)))
		if !errors.Is(err, fleet.ErrInvalid) || !strings.Contains(err.Error(), "a new object would be refused too") || b.uid(deployments, "it") != was {
			t.Errorf("error %v", err)
		}
	})
	t.Run("while another object of its stage is invalid", func(t *testing.T) {
		b := newBundle(t).start()
		b.release.Force = true
		b.deploy(b.frozen("it", "1"))
		was := b.uid(configMaps, "it")
		err := b.try(b.target(b.frozen("it", "2"), strings.Replace(b.configMap("bad", "1"), `"data":{`, `"data":{"/":"x",`, 1)))
		if !errors.Is(err, fleet.ErrInvalid) || b.uid(configMaps, "it") != was {
			t.Errorf("error %v", err)
		}
	})
	t.Run("what its account may not create", func(t *testing.T) {
		b := newBundle(t).start()
		b.deploy(b.frozen("it", "1"))
		was := b.uid(configMaps, "it")
		b.serviceAccount("deployer")
		b.allow("deployer", "secrets")
		rbac := b.typed.RbacV1()
		roles, err := rbac.Roles(b.namespace).List(b.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		roles.Items[0].Rules = []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"get", "patch", "delete"}}}
		if _, err := rbac.Roles(b.namespace).Update(b.Context(), &roles.Items[0], metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		b.release.Force, b.release.ServiceAccountName = true, "deployer"
		b.eventually("it is refused for the right that lacks", func() error {
			err := b.try(b.target(b.frozen("it", "2")))
			if err == nil || !strings.Contains(err.Error(), "cannot create resource") {
				return fmt.Errorf("error %w", err)
			}
			return nil
		})
		if b.uid(configMaps, "it") != was {
			t.Error("it is made anew")
		}
	})
}

func TestForceNeedsToBeSaidOfWhatHoldsMoreThanItself(t *testing.T) {
	b := newBundle(t).start()
	claim := func(extra, size string) string {
		return fmt.Sprintf(`{"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{"name":"it","namespace":%q%s},
			"spec":{"accessModes":["ReadWriteOnce"],"storageClassName":"none","resources":{"requests":{"storage":%q}}}}`, b.namespace, extra, size)
	}
	b.deploy(claim("", "2Gi"), b.frozen("safe", "1", annotations("fleet.flotilla.dev/protect", "true")))
	was, safe := b.uid(claims, "it"), b.uid(configMaps, "safe")
	b.release.Force = true
	err := b.try(b.target(claim("", "1Gi"), b.frozen("safe", "2", annotations("fleet.flotilla.dev/protect", "true"))))
	if err == nil || !strings.Contains(err.Error(), "what it holds would go with it") || !strings.Contains(err.Error(), "it is protected") {
		t.Errorf("error %v", err)
	}
	if err := b.try(b.target(claim("", "2Gi"), b.frozen("safe", "2", annotations(force, "enabled")))); err == nil || b.uid(configMaps, "safe") != safe {
		t.Errorf("what is protected in the cluster is made anew, error %v", err)
	}
	b.deploy(claim(annotations(force, "enabled"), "1Gi"), b.frozen("safe", "1"))
	if b.uid(claims, "it") == was {
		t.Error("it is not made anew though it says so itself")
	}
}

func TestForceNamesTheFinalizerThatAnObjectWaitsFor(t *testing.T) {
	b := newBundle(t)
	var looked atomic.Int64
	stop := atomic.Pointer[context.CancelFunc]{}
	b.intercept(func(r *http.Request) int {
		if cancel := stop.Load(); r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/configmaps/it") && looked.Add(1) == 6 && cancel != nil {
			(*cancel)() // it has waited: who only looks before that does so less often
		}
		return 0
	})
	b.start()
	b.release.Force = true
	b.deploy(b.frozen("it", "1", `,"finalizers":["example.com/stuck"]`))
	was := b.uid(configMaps, "it")
	target := b.target(b.frozen("it", "2"))
	for range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		looked.Store(0)
		stop.Store(&cancel)
		err := b.engine.Deploy(ctx, target)
		cancel()
		if err == nil || !strings.Contains(err.Error(), "ConfigMap/"+b.namespace+"/it") || !strings.Contains(err.Error(), "finalizers example.com/stuck") {
			t.Fatalf("error %v", err)
		}
		b.canary() // another App goes on
	}
	b.patch(configMaps, "it", "someone", `{"metadata":{"finalizers":null}}`)
	b.canary()
	if b.get(configMaps, "it") != nil {
		t.Error("what it was before is put back, to be deleted once more")
	}
	b.deploy(b.frozen("it", "2"))
	if b.uid(configMaps, "it") == was {
		t.Error("it is not made anew")
	}
	b.value(configMaps, "it", "2", "data", "key")
}

func TestForceMakesAnewWhatSomebodyPutInItsPlace(t *testing.T) {
	b := newBundle(t).start()
	b.release.Force = true
	target := b.deploy(b.frozen("it", "1"))
	b.kill()
	b.delete(configMaps, "it")
	if err := b.create(configMaps, b.frozen("it", "theirs")); err != nil {
		t.Fatal(err)
	}
	b.start()
	b.load(target)
	// It has not our label: nobody sees it before a full pass.
	target.Verify = true
	if err := b.try(target); err != nil {
		t.Fatal(err)
	}
	b.value(configMaps, "it", "1", "data", "key")

	// With our labels it is drift.
	b.kill()
	b.delete(configMaps, "it")
	if err := b.create(configMaps, b.frozen("it", "theirs", fmt.Sprintf(`,"labels":{%q:"app",%q:%q}`, ownerName, ownerNamespace, b.namespace))); err != nil {
		t.Fatal(err)
	}
	b.start()
	b.load(target)
	b.value(configMaps, "it", "1", "data", "key")
}

// TestAKillWhileAnObjectIsMadeAnewLeavesNoOrphanAndConverges kills a pass at each of its writes: the inventory, the
// deletion, the creation, the inventory.
func TestAKillWhileAnObjectIsMadeAnewLeavesNoOrphanAndConverges(t *testing.T) {
	for _, lost := range []bool{false, true} {
		for n := 1; n <= 5; n++ {
			for _, then := range []string{"the same again", "what was before", "without it"} {
				t.Run(fmt.Sprintf("write %d, answer lost: %t, then %s", n, lost, then), func(t *testing.T) {
					b := newBundle(t)
					b.release.Force, b.release.PruneGuard = true, "off"
					b.start()
					first := b.deploy(b.frozen("it", "1"), b.configMap("stays", "1"))
					b.kill()

					b.cutAfter(n, lost)
					b.start()
					b.load(first)
					second := b.target(b.frozen("it", "2"), b.configMap("stays", "1"))
					if err := b.try(second); n == 5 && err != nil {
						t.Fatalf("the pass has more writes than are cut: %v", err)
					} else if n < 4 && err == nil {
						t.Fatal("nothing was cut")
					}
					b.kill()
					b.wrap = nil
					if n%2 == 0 {
						if err := os.RemoveAll(b.dir); err != nil {
							t.Fatal(err)
						}
					}
					b.start()
					b.load(first)
					b.canary() // what is to be put back is, or has begun to be
					if then == "without it" {
						b.deploy(b.configMap("stays", "1"))
						if b.get(configMaps, "it") != nil || strings.Count(b.entries(), "\n") != 1 {
							t.Errorf("it is still there; the inventory is %s", b.entries())
						}
						return
					}
					want, last := "2", second
					if then == "what was before" {
						want, last = "1", first
					}
					if err := b.try(last); err != nil {
						t.Fatal(err)
					}
					b.value(configMaps, "it", want, "data", "key")
					if shard := b.entries(); strings.Count(shard, "\n") != 2 || !strings.Contains(shard, string(b.uid(configMaps, "it"))) {
						t.Errorf("the inventory is %s", shard)
					}
				})
			}
		}
	}
}
