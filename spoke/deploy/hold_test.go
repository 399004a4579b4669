package deploy_test

import (
	"fmt"
	"strings"
	"testing"

	"flotilla.dev/flotilla/pkg/fleet"
)

func TestAFluxObjectOnHoldHoldsTheAppOfItsName(t *testing.T) {
	b := newBundle(t).start()
	if err := b.engine.AwaitHolds(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.underFlux()
	if why := b.engine.OnHold(b.app); why != "" {
		t.Errorf("it is on hold: %s", why)
	}
	onHold := func(want string, holds int) {
		t.Helper()
		b.eventually("it is on hold: "+want, func() error {
			b.mu.Lock()
			told := b.onHolds
			b.mu.Unlock()
			if why := b.engine.OnHold(b.app); (why == "") != (want == "") || !strings.Contains(why, want) || told != holds {
				return fmt.Errorf("on hold %q, told %d times", why, told)
			}
			return nil
		})
	}
	b.patch(kustomizations, "app", "kubectl", `{"metadata":{"annotations":{"fleet.flotilla.dev/hold":"maintenance"}},"spec":{"suspend":true}}`)
	onHold("maintenance", 1)
	b.patch(kustomizations, "app", "kubectl", `{"spec":{"interval":"1m"}}`)
	b.start() // known at once after a restart
	if err := b.engine.AwaitHolds(t.Context()); err != nil {
		t.Fatal(err)
	}
	onHold("Kustomization/"+b.namespace+"/app is on hold", 2)
	b.patch(kustomizations, "app", "kubectl", `{"metadata":{"annotations":{"fleet.flotilla.dev/hold":null}}}`)
	onHold("", 3)
}

const holdAnnotation = "fleet.flotilla.dev/hold"

// Whoever holds an App does so on its namespace, or on Flux's object of its name: an App may have either among its objects.
func TestAHoldOnAnObjectOfAnAppIsNoDrift(t *testing.T) {
	for _, test := range []struct{ name, manager, beside, key string }{
		{name: "annotate", manager: "kubectl-annotate"},
		{name: "edit", manager: "kubectl-edit"},
		{name: "patch, in a map that is there", manager: "kubectl-patch", beside: "other.example.com/theirs", key: "theirs"},
		{name: "before the first apply", manager: "before-first-apply"},
		{name: "someone", manager: "someone"},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBundle(t).start()
			target := b.deploy(b.configMap("a", "1"))
			b.judged()
			if test.beside != "" {
				b.patch(configMaps, "a", "another", fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, test.beside, test.key))
			}
			before := b.get(configMaps, "a").GetResourceVersion()
			held := b.patch(configMaps, "a", test.manager, `{"metadata":{"annotations":{"fleet.flotilla.dev/hold":"incident"}}}`)
			if held.GetResourceVersion() == before {
				t.Fatal("nothing was written")
			}
			b.judged()
			for _, drift := range []bool{true, false} {
				if answer, got := b.diff(target, drift); len(got) != 0 || answer.Unchanged != 1 {
					t.Errorf("the diff is %+v", answer)
				}
			}
			target.Verify = true
			if err := b.try(target); err != nil {
				t.Fatal(err)
			}
			b.deploy(b.configMap("a", "2"))
			b.value(configMaps, "a", "incident", "metadata", "annotations", holdAnnotation)

			b.patch(configMaps, "a", test.manager, `{"metadata":{"annotations":{"fleet.flotilla.dev/hold":null}}}`)
			b.judged()
			b.deploy(b.configMap("a", "3"))
			b.value(configMaps, "a", nil, "metadata", "annotations", holdAnnotation)
			b.corrections(0)
		})
	}
}

func TestAHoldStaysWhileWhatElseKubectlSetIsTakenBack(t *testing.T) {
	b := newBundle(t).start()
	target := b.deploy(b.configMap("a", "1"))
	b.engine.SetSuspended(b.app, true) // else it is undone at once
	b.patch(configMaps, "a", "kubectl-edit", `{"metadata":{"annotations":{"fleet.flotilla.dev/hold":"incident","extra":"x"}},"data":{"key":"2","extra":"x"}}`)
	_, got := b.diff(target, true)
	if text := got["ConfigMap/a"].Diff; !strings.Contains(text, "-    extra: x\n") || !strings.Contains(text, "-  extra: x\n") ||
		!strings.Contains(text, "     fleet.flotilla.dev/hold: incident\n") {
		t.Errorf("the diff is\n%s", text)
	}
	b.engine.SetSuspended(b.app, false)
	target.Verify = true
	if err := b.try(target); err != nil {
		t.Fatal(err)
	}
	a := b.get(configMaps, "a")
	if data, has := a.Object["data"], a.GetAnnotations(); fmt.Sprint(data) != "map[key:1]" || len(has) != 1 || has[holdAnnotation] != "incident" {
		t.Errorf("it has %v and %v", data, has)
	}
}

// What a manifest says of a hold is the manifest's, as all that it says.
func TestAHoldThatAManifestHasIsPutBackUnlessItIsLeftToOthers(t *testing.T) {
	b := newBundle(t).start()
	b.deploy(b.configMap("a", "1", annotations(holdAnnotation, "ours")))
	b.patch(configMaps, "a", "kubectl-annotate", `{"metadata":{"annotations":{"fleet.flotilla.dev/hold":"theirs"}}}`)
	b.value(configMaps, "a", "ours", "metadata", "annotations", holdAnnotation)
	b.corrections(1)

	b.release.Ignore = []fleet.IgnoreRule{{Paths: []string{"/metadata/annotations/fleet.flotilla.dev~1hold"}}}
	b.deploy(b.configMap("a", "2", annotations(holdAnnotation, "ours")))
	b.patch(configMaps, "a", "kubectl-annotate", `{"metadata":{"annotations":{"fleet.flotilla.dev/hold":"theirs"}}}`)
	b.judged()
	b.deploy(b.configMap("a", "3", annotations(holdAnnotation, "ours")))
	b.value(configMaps, "a", "theirs", "metadata", "annotations", holdAnnotation)
}

// Made anew, it would be without its hold; a Namespace would be without all that is held in it too.
func TestForceDeletesNothingThatIsOnHold(t *testing.T) {
	b := newBundle(t).start()
	b.release.Force = true
	b.deploy(b.frozen("it", "1"))
	was := b.uid(configMaps, "it")
	b.patch(configMaps, "it", "kubectl-annotate", `{"metadata":{"annotations":{"fleet.flotilla.dev/hold":"incident"}}}`)
	err := b.try(b.target(b.frozen("it", "2")))
	if err == nil || !strings.Contains(err.Error(), "is on hold (annotation fleet.flotilla.dev/hold): incident, and not made anew by force") || b.uid(configMaps, "it") != was {
		t.Errorf("error %v", err)
	}
	b.patch(configMaps, "it", "kubectl-annotate", `{"metadata":{"annotations":{"fleet.flotilla.dev/hold":"false"}}}`)
	b.deploy(b.frozen("it", "2"))
	if b.uid(configMaps, "it") == was {
		t.Error("it is not made anew once nobody holds it")
	}
}
