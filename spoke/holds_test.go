package spoke

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"k8s.io/client-go/metadata"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/hold"
	"flotilla.dev/flotilla/spoke/worker"
	"flotilla.dev/flotilla/test/lab"
)

// holding is an engine that knows, or does not, which of Flux's objects are on hold.
type holding struct {
	worker.Engine
	unknown error
	why     string
}

func (h holding) AwaitHolds(context.Context) error { return h.unknown }
func (h holding) OnHold(fleet.Key) string          { return h.why }

func TestHoldsAreKnownOnceNamespacesAndFluxsObjectsAre(t *testing.T) {
	t.Parallel()
	client, err := metadata.NewForConfig(lab.TestCluster(t).REST())
	if err != nil {
		t.Fatal(err)
	}
	unknown := errors.New("not yet")
	h := holds{
		namespaces: hold.New(hold.Config{Client: client, Namespace: "flotilla-system", Log: slog.New(slog.DiscardHandler), Changed: func() {}}),
		engines:    engines{"Kustomization": holding{}, "HelmRelease": holding{unknown: unknown, why: "HelmRelease/apps/app is on hold"}},
	}
	apps := func(kind string) fleet.Key {
		return fleet.Key{Home: fleet.HubHome, Kind: kind, Namespace: "apps", Name: "app"}
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if err := h.Await(ended, apps("Kustomization")); err == nil {
		t.Error("namespaces are not known, and are not waited for")
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- h.namespaces.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	for kind, want := range map[string]error{"Kustomization": nil, "HelmRelease": unknown, "Unheard": nil} {
		if err := h.Await(t.Context(), apps(kind)); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", kind, err, want)
		}
	}
	for kind, want := range map[string]string{"Kustomization": "", "HelmRelease": "HelmRelease/apps/app is on hold", "Unheard": ""} {
		if why := h.OnHold(apps(kind)); why != want {
			t.Errorf("%s is on hold by %q, want %q", kind, why, want)
		}
	}
}
