package deploy_test

import (
	"fmt"
	"strings"
	"testing"
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
