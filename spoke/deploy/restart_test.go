package deploy_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"flotilla.dev/flotilla/spoke/deploy"
)

func (b *bundle) load(target deploy.Target) {
	b.Helper()
	if err := b.engine.Load(b.Context(), target.App, target.Manifest, target.Release, target.Binding); err != nil {
		b.Fatal(err)
	}
}

func TestARestartedEngineCorrectsDriftWithoutAnyPass(t *testing.T) {
	b := newBundle(t).start()
	secret := fmt.Sprintf(`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"it","namespace":%q},"stringData":{"key":"one"}}`, b.namespace)
	target := b.deploy(b.configMap("a", "1"), b.configMap("gone", "1"), secret)
	b.start()
	b.load(target)
	if applied := b.status().Applied; applied != target.Release.Digest() {
		t.Errorf("applied is %s", applied)
	}
	b.patch(configMaps, "a", "kubectl-edit", `{"data":{"key":"2"}}`)
	b.value(configMaps, "a", "1", "data", "key")
	b.patch(secrets, "it", "kubectl-edit", `{"data":{"key":"dHdv"}}`)
	b.value(secrets, "it", "b25l", "data", "key")

	// What drifted while nobody looked is put back too.
	b.kill()
	b.delete(configMaps, "gone")
	b.patch(configMaps, "a", "someone", `{"data":{"key":"2"}}`)
	b.start()
	b.moved("a", "gone") // they wait for what they should be
	b.value(configMaps, "a", "2", "data", "key")
	b.load(target)
	b.value(configMaps, "a", "1", "data", "key")
	b.value(configMaps, "gone", "1", "data", "key")
}

func TestARestartWithNothingMovedAsksForNothingButWatches(t *testing.T) {
	b := newBundle(t).start()
	target := b.deploy(b.configMap("a", "1"), b.configMap("b", "1"), b.deployment("web", ""))
	b.healthy("True")
	b.judged()
	b.kill() // which writes what was seen
	made := b.requests(func() {
		b.start()
		b.load(target)
		b.healthy("True")
		if err := b.try(target); err != nil {
			t.Fatal(err)
		}
		b.judged()
		b.atRest()
	})
	for _, r := range made {
		if r.Verb != "list" && r.Verb != "watch" {
			t.Errorf("request %+v", r)
		}
	}
}

func TestWhenTheVolumeIsLostEverythingIsVerifiedOnceAndNothingWritten(t *testing.T) {
	b := newBundle(t).start()
	target := b.deploy(b.configMap("a", "1"), b.configMap("b", "1"))
	b.kill()
	versions := func() string {
		return b.get(configMaps, "a").GetResourceVersion() + b.get(configMaps, "b").GetResourceVersion()
	}
	before := versions()
	if err := os.RemoveAll(b.dir); err != nil {
		t.Fatal(err)
	}
	made := b.requests(func() {
		b.start()
		b.load(target)
		b.judged()
	})
	made = made.Where(func(r labRequest) bool { return r.Verb == "patch" && r.Code < 300 })
	if len(made) != 2 || made[0].Name == made[1].Name || versions() != before {
		t.Errorf("versions moved: %t; patches: %+v", versions() != before, made)
	}
	if n := b.status().DriftCorrections; n != 0 {
		t.Errorf("%d drift corrections", n)
	}
}

func TestASuspendedAppIsLeftAloneAndPutBackWhenResumed(t *testing.T) {
	b := newBundle(t).start()
	b.deploy(b.configMap("a", "1"))
	b.engine.SetSuspended(b.app, true)
	b.patch(configMaps, "a", "kubectl-edit", `{"data":{"key":"2"}}`)
	b.moved("a")
	b.canary()
	b.value(configMaps, "a", "2", "data", "key")
	b.engine.SetSuspended(b.app, false)
	b.value(configMaps, "a", "1", "data", "key")
}

// TestAKillAtAnyWriteLeavesNoOrphanAndConverges kills a pass that creates, updates and deletes at each of its writes,
// and then has another engine deploy something else again: what the killed pass made must not stay. As a spoke does, each
// engine begins with the release before, unless the volume that knows it is lost.
func TestAKillAtAnyWriteLeavesNoOrphanAndConverges(t *testing.T) {
	for _, lost := range []bool{false, true} {
		for n := 1; n <= 9; n++ {
			t.Run(fmt.Sprintf("write %d, answer lost: %t", n, lost), func(t *testing.T) {
				b := newBundle(t)
				b.release.PruneGuard = "off"
				b.start()
				first := b.deploy(b.configMapsNamed("stays", "changes", "goes")...)
				b.kill()

				b.cutAfter(n, lost)
				b.start()
				b.load(first)
				second := b.target(b.configMap("stays", "1"), b.configMap("changes", "2"), b.configMap("new1", "1"), b.configMap("new2", "1"))
				err := b.try(second)
				if n == 9 && err != nil {
					t.Fatalf("the pass has more writes than are cut: %v", err)
				}
				b.kill()
				b.wrap = nil
				if n%2 == 0 {
					if err := os.RemoveAll(b.dir); err != nil {
						t.Fatal(err)
					}
				}

				b.start()
				if n%2 != 0 {
					b.load(first)
					b.canary() // what is to be put back is, or has begun to be
				}
				if n%3 != 0 { // the same again first
					if err := b.try(second); err != nil {
						t.Fatal(err)
					}
					b.value(configMaps, "changes", "2", "data", "key")
					before := b.get(configMaps, "new1").GetResourceVersion()
					if err := b.try(second); err != nil {
						t.Fatal(err)
					}
					if b.get(configMaps, "new1").GetResourceVersion() != before {
						t.Error("it was written twice")
					}
				}
				b.deploy(b.configMap("stays", "1"), b.configMap("changes", "3"), b.configMap("new2", "2"))
				b.value(configMaps, "changes", "3", "data", "key")
				b.value(configMaps, "new2", "2", "data", "key")
				owned := b.owned(configMaps)
				if len(owned) != 3 || !owned["ConfigMap/stays"] {
					t.Errorf("there are %v", owned)
				}
				shard := b.entries()
				if strings.Count(shard, "\n") != 3 || strings.Count(shard, `"uid"`) != 3 || strings.Count(shard, `"applied"`) != 3 {
					t.Errorf("the inventory is %s", shard)
				}
			})
		}
	}
}

func TestAnIntendedObjectThatSomebodyElseMadeIsNotDeleted(t *testing.T) {
	b := newBundle(t)
	b.start().deploy(b.configMap("stays", "1"))
	b.kill()
	b.cutAfter(1, true) // the inventory
	b.start()
	if err := b.try(b.target(b.configMap("stays", "1"), b.configMap("theirs", "1"))); err == nil {
		t.Fatal("nothing was cut")
	}
	b.kill()
	b.wrap = nil
	if shard := b.entries(); !strings.Contains(shard, "theirs") {
		t.Fatalf("the inventory is %s", shard)
	}
	theirs := b.configMap("theirs", "0", fmt.Sprintf(`,"labels":{%q:"app",%q:%q}`, ownerName, ownerNamespace, b.namespace))
	if err := b.create(configMaps, theirs); err != nil {
		t.Fatal(err)
	}
	b.start().deploy(b.configMap("stays", "1"))
	b.canary()
	b.value(configMaps, "theirs", "0", "data", "key")
	if shard := b.entries(); strings.Contains(shard, "theirs") {
		t.Errorf("the inventory is %s", shard)
	}
}
