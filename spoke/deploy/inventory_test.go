package deploy_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/deploy"
)

func TestAnInventoryThatCannotBeReadStopsItsAppAlone(t *testing.T) {
	b := newBundle(t).start()
	b.deploy(b.configMapsNamed("a", "b")...)
	b.kill()
	shard := b.inventory()[0]
	good := shard.Data["objects"]
	shard.Data["objects"] = "{broken"
	if _, err := b.typed.CoreV1().ConfigMaps(b.system).Update(b.Context(), &shard, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	b.start()
	if err := b.try(b.target(b.configMap("a", "1"))); err == nil || b.get(configMaps, "b") == nil {
		t.Errorf("error %v", err)
	}
	if err := b.try(b.of("other", b.target(b.configMap("c", "1")))); err != nil {
		t.Error(err)
	}
	b.rewriteShard(shard.Name, good)
	b.deploy(b.configMap("a", "1"))
	if b.get(configMaps, "b") != nil {
		t.Error("b is still there")
	}
}

func (b *bundle) rewriteShard(name, objects string) {
	b.Helper()
	shard, err := b.typed.CoreV1().ConfigMaps(b.system).Get(b.Context(), name, metav1.GetOptions{})
	if err != nil {
		b.Fatal(err)
	}
	shard.Data["objects"] = objects
	if _, err := b.typed.CoreV1().ConfigMaps(b.system).Update(b.Context(), shard, metav1.UpdateOptions{}); err != nil {
		b.Fatal(err)
	}
}

func TestAnAppWhoseInventoryCannotBeReadMayBeOrphaned(t *testing.T) {
	b := newBundle(t).start()
	b.deploy(b.configMapsNamed("a", "b")...)
	b.kill()
	b.rewriteShard(b.inventory()[0].Name, "{broken")
	b.start()
	err := b.try(b.target(b.configMap("a", "1")))
	if err == nil || !strings.Contains(err.Error(), "ConfigMap/"+b.system+"/"+b.inventory()[0].Name) || !strings.Contains(err.Error(), "delete it") {
		t.Errorf("there is no way out in %v", err)
	}
	if done, err := b.tryRemove(fleet.Tombstone{Delete: true, Confirmed: true}, fleet.Digest{}); done || err == nil {
		t.Errorf("what nobody can read is deleted: %t, %v", done, err)
	}
	if !b.remove(fleet.Tombstone{}, fleet.Digest{}) || len(b.inventory()) != 0 || len(b.owned(configMaps)) != 2 {
		t.Errorf("the inventory is %s, there are %v", b.entries(), b.owned(configMaps))
	}
	b.deploy(b.configMapsNamed("a", "b")...) // as new
}

func TestWhatKeepsTheEngineFromBeginningIsSaid(t *testing.T) {
	says := func(b *bundle, words ...string) {
		b.Helper()
		b.eventually("it is said", func() error {
			for what, do := range map[string]func(context.Context) error{
				"a pass":      func(ctx context.Context) error { return b.engine.Deploy(ctx, b.target(b.configMap("a", "1"))) },
				"being ready": b.engine.Ready,
				"an orphan": func(ctx context.Context) error {
					_, err := b.engine.Remove(ctx, deploy.Removal{App: b.app})
					return err
				},
			} {
				ctx, cancel := context.WithTimeout(b.Context(), time.Second)
				err := do(ctx)
				cancel()
				for _, word := range words {
					if err == nil || !strings.Contains(err.Error(), word) {
						return fmt.Errorf("the error of %s is %w", what, err)
					}
				}
			}
			return nil
		})
	}
	t.Run("inventories that may not be listed", func(t *testing.T) {
		b := newBundle(t)
		var blocked atomic.Bool
		blocked.Store(true)
		b.intercept(func(r *http.Request) int {
			if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/"+b.system+"/configmaps") && blocked.Load() {
				return http.StatusForbidden
			}
			return 0
		})
		b.start()
		says(b, "list inventories", "made up")
		blocked.Store(false)
		b.deploy(b.configMap("a", "1"))
		if err := b.engine.Ready(b.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Run("a key that is none", func(t *testing.T) {
		b := newBundle(t)
		_, err := b.typed.CoreV1().Secrets(b.system).Create(b.Context(), &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: "inventory-key"}, Data: map[string][]byte{"key": []byte("short")},
		}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		b.start()
		says(b, "Secret/"+b.system+"/inventory-key", "delete it")
		if err := b.typed.CoreV1().Secrets(b.system).Delete(b.Context(), "inventory-key", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		b.deploy(b.configMap("a", "1"))
	})
}

func TestAnInventoryThatCannotBeSavedLeavesTheLastGoodStateInForce(t *testing.T) {
	b := newBundle(t)
	var broken atomic.Bool
	b.intercept(func(r *http.Request) int {
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/configmaps/inventory-") && broken.Load() {
			return http.StatusForbidden
		}
		return 0
	})
	b.start().deploy(b.configMap("a", "1"))
	broken.Store(true)
	if err := b.try(b.target(b.configMap("a", "2"), b.configMap("new", "2"))); err == nil || !strings.Contains(err.Error(), "inventory") {
		t.Errorf("error %v", err)
	}
	broken.Store(false)
	b.patch(configMaps, "a", "kubectl-edit", `{"data":{"key":"3"}}`)
	b.value(configMaps, "a", "1", "data", "key")
	if b.get(configMaps, "new") != nil || strings.Contains(b.entries(), "new") {
		t.Errorf("something new was made; the inventory is %s", b.entries())
	}
}
