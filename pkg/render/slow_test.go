package render_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/render"
)

// There is no bound on the number of objects that kustomize itself builds, only on its time: the error has to say where
// that went.
func TestABuildByKustomizeOverItsTimeSaysWhyItIsSlow(t *testing.T) {
	t.Parallel()
	for fields, slow := range map[string]bool{"crds: [crd.json]\n": true, "namePrefix: p-\n": false} {
		pool := start(t, render.Config{Wall: 300 * time.Millisecond})
		_, err := pool.Build(t.Context(), endless(fields))
		if !errors.Is(err, fleet.ErrInvalid) || !strings.Contains(err.Error(), "longer than 300ms") {
			t.Fatalf("%s: error %v, want that of a build that took too long", fields, err)
		}
		for _, part := range []string{"kustomize itself makes this build", "several Kustomizations", "kustomization.yaml: crds: only kustomize itself builds this field"} {
			if strings.Contains(err.Error(), part) != slow {
				t.Errorf("%s: error %q; that it says %q is to be %t", fields, err, part, slow)
			}
		}
	}
}
