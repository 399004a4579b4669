package helm

import (
	"slices"
	"testing"

	"flotilla.dev/flotilla/pkg/fleet"
)

func TestAPathIsShownUpToWhereAKeyMayBeAValue(t *testing.T) {
	t.Parallel()
	for group, want := range map[string][]string{
		"apps":     {"/spec/template/spec/containers/0/image", "/metadata/labels", "/spec/selector"},
		"demo.dev": {"/spec", "/metadata/labels"},
	} {
		got := sealed(fleet.ObjectRef{Group: group}, []string{
			"/spec/template/spec/containers/0/image", "/metadata/labels/a", "/metadata/labels/b", "/spec/selector/matchLabels/a",
		})
		if !slices.Equal(got, want) {
			t.Errorf("of %s: %v, want %v", group, got, want)
		}
	}
}
