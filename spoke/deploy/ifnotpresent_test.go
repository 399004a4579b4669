package deploy_test

import (
	"os"
	"strings"
	"testing"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/deploy"
)

const ifNotPresent = `{"annotations":{"kustomize.toolkit.fluxcd.io/ssa":"IfNotPresent"},`

// throughout checks what must hold now, after a restart, with what was seen of objects and without, and after a full pass.
func (b *bundle) throughout(target deploy.Target, check func(when string)) {
	b.Helper()
	check("at once")
	for _, lost := range []bool{false, true} {
		b.kill()
		when := "after a restart"
		if lost {
			if err := os.RemoveAll(b.dir); err != nil {
				b.Fatal(err)
			}
			when = "after a restart without a volume"
		}
		b.start()
		b.load(target)
		b.canary()
		check(when)
	}
	target.Verify = true
	if err := b.try(target); err != nil {
		b.Fatal(err)
	}
	b.canary()
	check("after a full pass")
}

// The Manifest says that it is created once. So whoever removes that from the live object does not invite us.
func TestIfNotPresentHoldsWhenItsAnnotationIsRemovedFromTheLiveObject(t *testing.T) {
	b := newBundle(t).start()
	const ssa = "kustomize.toolkit.fluxcd.io/ssa"
	target := b.deploy(b.configMap("a", "1", annotations(ssa, "IfNotPresent")))
	b.patch(configMaps, "a", "kubectl-edit", `{"metadata":{"annotations":{"`+ssa+`":null}},"data":{"key":"2"}}`)
	b.judged()
	written := b.patch(configMaps, "a", "kubectl-edit", `{"data":{"key":"3"}}`).GetResourceVersion()
	b.judged()
	b.throughout(target, func(when string) {
		if now := b.get(configMaps, "a"); now.GetResourceVersion() != written {
			t.Errorf("%s it was written: %v", when, now)
		}
		if n := b.status().DriftCorrections; n != 0 {
			t.Errorf("%s there are %d corrections", when, n)
		}
	})
}

// As in Flux, the health of what is there and not ours to change is not the App's.
func TestWhatIsCreatedOnceAndChangedByOthersIsNotTheAppsHealth(t *testing.T) {
	for name, annotation := range map[string]string{"with its annotation": `{}`, "without": `{"kustomize.toolkit.fluxcd.io/ssa":null}`} {
		t.Run(name, func(t *testing.T) {
			b := newBundle(t).start()
			target := b.deploy(b.configMap("a", "1"), strings.Replace(b.deployment("web", ""), `"metadata":{`, `"metadata":`+ifNotPresent, 1))
			b.healthy(fleet.True)
			b.patch(deployments, "web", "kubectl-edit", `{"metadata":{"annotations":`+annotation+`},
				"spec":{"progressDeadlineSeconds":1,"template":{"metadata":{"annotations":{"demo/fail":"image"}}}}}`)
			b.value(deployments, "web", 1, "status", "unavailableReplicas")
			b.judged()
			b.throughout(target, func(string) { b.healthy(fleet.True) })
			b.value(deployments, "web", "image", "spec", "template", "metadata", "annotations", "demo/fail")
			b.corrections(0)
		})
	}
}
