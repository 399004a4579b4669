package deploy

import (
	"context"
	"testing"

	"flotilla.dev/flotilla/pkg/fleet"
)

// A definition can be gone before its Kustomizations were ever listed.
func TestADefinitionThatComesAndGoesLeavesNoAppWaiting(t *testing.T) {
	t.Parallel()
	w := newFluxWatch(&Engine{apps: map[fleet.Key]*app{}})
	w.present()
	w.absent()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.await(ctx); err != nil {
		t.Errorf("it is waited for what Flux manages: %v", err)
	}
}
