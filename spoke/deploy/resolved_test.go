package deploy_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/deploy"
)

func TestAChangedVariableReappliesOnlyWhatUsesIt(t *testing.T) {
	b := newBundle(t).start()
	b.putConfigMap("vars", map[string]string{"A": "1", "B": "1"})
	b.substituting(nil, fleet.SubstituteReference{Kind: "ConfigMap", Name: "vars"})
	target := b.deploy(b.text("a", "a: x${A}"), b.text("b", "b: x${B}"), b.configMap("plain", "1"))
	// The watch of the variables begins after the pass.
	b.eventually("the watch", func() error { return b.watched("configmaps", "vars") })

	b.mu.Lock()
	reads := b.reads
	b.mu.Unlock()
	idle := b.requests(func() {
		if err := b.try(target); err != nil {
			t.Fatal(err)
		}
	})
	b.mu.Lock()
	if b.reads != reads {
		t.Errorf("an unchanged pass looked at %d blobs", b.reads-reads)
	}
	b.mu.Unlock()
	if len(idle) != 1 || idle[0].Verb != "get" || idle[0].Name != "vars" {
		t.Errorf("an unchanged pass asked %v; it has to read the variables, and nothing else", idle)
	}
	b.putConfigMap("vars", map[string]string{"A": "2", "B": "1"})
	b.woken(0)
	changed := b.requests(func() {
		if err := b.try(target); err != nil {
			t.Fatal(err)
		}
	})
	for _, r := range changed {
		if r.Name != "vars" && r.Name != "a" {
			t.Errorf("a pass with another A asked %v", r)
		}
	}
	b.wantData("a", map[string]string{"a": "x2"})
	b.wantData("b", map[string]string{"b": "x1"})
}

func TestDriftOfAResolvedObjectIsUndoneWithWhatItWasAppliedWith(t *testing.T) {
	b := newBundle(t).start()
	b.putSecret("vars", map[string]string{"A": "1"})
	b.substituting(nil, fleet.SubstituteReference{Kind: "Secret", Name: "vars"})
	target := b.deploy(b.text("it", "a: x${A}"))
	b.patch(configMaps, "it", "kubectl-edit", `{"data":{"a":"y"}}`)
	b.value(configMaps, "it", "x1", "data", "a")

	// What the variables are by now is the next pass's business.
	b.putSecret("vars", map[string]string{"A": "2"})
	b.patch(configMaps, "it", "kubectl-edit", `{"data":{"a":"y"}}`)
	b.value(configMaps, "it", "x1", "data", "a")

	// After a restart the object is not what the variables say: a pass applies it.
	b.start().load(target)
	if b.status().Applied == target.Release.Digest() {
		t.Error("the release counts as applied with other variables")
	}
	if err := b.try(target); err != nil {
		t.Fatal(err)
	}
	b.wantData("it", map[string]string{"a": "x2"})
	b.start().load(target)
	if b.status().Applied != target.Release.Digest() {
		t.Error("the release does not count as applied after a restart")
	}
	b.patch(configMaps, "it", "kubectl-edit", `{"data":{"a":"y"}}`)
	b.value(configMaps, "it", "x2", "data", "a")
	if blobs := b.engine.AppliedBlobs(b.app); !slices.Equal(blobs, []fleet.Digest{target.Manifest.Entries[0].Digest}) {
		t.Errorf("the object is made of %v, want the text of the Manifest", blobs)
	}
}

func TestAnObjectThatStaysTheSameIsMadeOfWhatTheNewestManifestHas(t *testing.T) {
	b := newBundle(t).start()
	plain := b.deploy(b.text("it", "a: x1"))
	madeOf := func(target deploy.Target) {
		t.Helper()
		if blobs := b.engine.AppliedBlobs(b.app); !slices.Equal(blobs, []fleet.Digest{target.Manifest.Entries[0].Digest}) {
			t.Errorf("it is made of %v, want the blob of the newest Manifest", blobs)
		}
		b.patch(configMaps, "it", "kubectl-edit", `{"data":{"a":"y"}}`)
		b.value(configMaps, "it", "x1", "data", "a")
	}
	madeOf(plain)
	b.substituting(map[string]string{"A": "1"})
	resolved := b.target(b.text("it", "a: x${A}"))
	for _, r := range b.requests(func() {
		if err := b.try(resolved); err != nil {
			t.Fatal(err)
		}
	}) {
		t.Errorf("the same content is applied again: %v", r)
	}
	b.mu.Lock()
	delete(b.blobs, plain.Manifest.Entries[0].Digest)
	b.mu.Unlock()
	madeOf(resolved)
	b.release.PostBuild = nil
	madeOf(b.deploy(b.text("it", "a: x1")))
}

func TestARestartWithoutTheVariablesTakesUpTheRestAndHoldsNothing(t *testing.T) {
	b := newBundle(t).start()
	b.putConfigMap("vars", map[string]string{"NAME": "named"})
	b.substituting(nil, fleet.SubstituteReference{Kind: "ConfigMap", Name: "vars"})
	target := b.deploy(b.text("${NAME}", "a: b"), b.configMap("plain", "1"))
	b.kill()
	b.delete(configMaps, "vars")
	b.start().load(target)
	b.patch(configMaps, "plain", "kubectl-edit", `{"data":{"key":"2"}}`)
	b.value(configMaps, "plain", "1", "data", "key")
	if s := b.status(); s.HeldPrune != nil || s.Applied == target.Release.Digest() {
		t.Errorf("status %+v: what has no name yet is not to be pruned, nor applied", s)
	}
	unknown := func(s deploy.Status) bool {
		return s.Healthy.Status == fleet.Unknown && strings.Contains(s.Healthy.Message, "not all objects are known: ") && strings.Contains(s.Healthy.Message, "/vars is not there")
	}
	b.says("what has no name yet is not known to be healthy", unknown)
	b.refused(target, fleet.ErrNotFound, "vars")
	b.says("nor after a pass that fails alike", unknown)
	b.wantData("named", map[string]string{"a": "b"})
	b.putConfigMap("vars", map[string]string{"NAME": "named"})
	if err := b.try(target); err != nil {
		t.Fatal(err)
	}
	b.healthy(fleet.True)
	b.patch(configMaps, "named", "kubectl-edit", `{"data":{"a":"c"}}`)
	b.value(configMaps, "named", "b", "data", "a")
}

func TestWhatAppsReferToIsWatchedOnceAndNoLongerThanTheyDo(t *testing.T) {
	b := newBundle(t).start()
	b.putConfigMap("vars", map[string]string{"A": "1"})
	b.substituting(nil, fleet.SubstituteReference{Kind: "ConfigMap", Name: "vars"})
	b.deploy(b.text("it", "a: x${A}"))
	second := b.target(b.text("other", "a: x${A}"))
	second.App.Name, second.Release.App.Name = "second", "second"
	if err := b.try(second); err != nil {
		t.Fatal(err)
	}
	b.eventually("the watch", func() error { return b.watched("configmaps", "vars") })
	b.putConfigMap("vars", map[string]string{"A": "2"})
	b.woken(0)
	b.eventually("the second App's wake-up", func() error {
		if b.engine.Status(second.App).Wakes == 0 {
			return errors.New("none")
		}
		return nil
	})
	if n := b.engine.Referred(); n != 1 {
		t.Errorf("%d watches for one ConfigMap", n)
	}
	for _, app := range []fleet.Key{b.app, second.App} {
		if done, err := b.engine.Remove(b.Context(), deploy.Removal{App: app}); !done || err != nil {
			t.Fatalf("remove: %v, %v", done, err)
		}
	}
	b.eventually("the end of the watch", func() error {
		if n := b.engine.Referred(); n != 0 {
			return fmt.Errorf("%d watches", n)
		}
		return nil
	})
}

// watched reports whether the engine has asked for a watch of one object.
func (b *bundle) watched(resource, name string) error {
	requests, err := b.cluster.Requests(b.Context())
	if err != nil {
		return err
	}
	found := requests.Where(func(r labRequest) bool {
		return r.UserAgent == b.agent && r.Verb == "watch" && r.Resource == resource && r.Namespace == b.namespace
	})
	if len(found) == 0 {
		return fmt.Errorf("%s %s is not watched", resource, name)
	}
	return nil
}

// woken waits until the engine calls for a pass once more than before.
func (b *bundle) woken(before uint64) {
	b.Helper()
	b.eventually("the wake-up", func() error {
		if wakes := b.status().Wakes; wakes <= before {
			return fmt.Errorf("%d wake-ups", wakes)
		}
		return nil
	})
}
