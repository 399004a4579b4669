package helm

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
)

func TestAFluxObjectOnHoldHoldsTheAppOfItsName(t *testing.T) {
	b := newBundle(t)
	b.declare(true, nil)
	if err := b.engine.AwaitHolds(t.Context()); err != nil { // no App was ever deployed here
		t.Fatal(err)
	}
	if why := b.engine.OnHold(b.app); why != "" {
		t.Errorf("it is on hold: %s", why)
	}
	client, err := dynamic.NewForConfig(b.cluster.REST())
	if err != nil {
		t.Fatal(err)
	}
	releases := client.Resource(schema.GroupVersionResource{Group: fluxGroup, Version: "v2", Resource: "helmreleases"}).Namespace(b.namespace)
	patch := func(text string) {
		t.Helper()
		if _, err := releases.Patch(t.Context(), b.app.Name, types.MergePatchType, []byte(text), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	onHold := func(want string, told int) {
		t.Helper()
		b.until("it is on hold: "+want, func() bool {
			b.mu.Lock()
			defer b.mu.Unlock()
			why := b.engine.OnHold(b.app)
			return (why == "") == (want == "") && strings.Contains(why, want) && b.onHolds == told
		})
	}
	patch(`{"metadata":{"annotations":{"fleet.flotilla.dev/hold":"maintenance"}}}`)
	onHold("HelmRelease/"+b.namespace+"/app is on hold", 1)
	b.start() // known at once after a restart
	if err := b.engine.AwaitHolds(t.Context()); err != nil {
		t.Fatal(err)
	}
	if why := b.engine.OnHold(b.app); !strings.Contains(why, "maintenance") {
		t.Errorf("after a restart it is on hold by %q", why)
	}
	patch(`{"metadata":{"annotations":{"fleet.flotilla.dev/hold":null}}}`)
	b.until("it is not on hold", func() bool { return b.engine.OnHold(b.app) == "" })
}
