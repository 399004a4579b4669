package manifest_test

import (
	"testing"

	"flotilla.dev/flotilla/pkg/manifest"
)

func TestModeTellsWhatIsLeftAloneAndWhatIsKept(t *testing.T) {
	t.Parallel()
	const prefix = "kustomize.toolkit.fluxcd.io/"
	for _, test := range []struct {
		key, value      string
		untouched, kept bool
		force           bool
	}{
		{key: "ssa", value: "ignore", untouched: true, kept: true},
		{key: "ssa", value: "Merge"},
		{key: "reconcile", value: "Disabled", untouched: true, kept: true},
		{key: "reconcile", value: "enabled"},
		{key: "prune", value: "DISABLED", kept: true},
		{key: "force", value: "Enabled", force: true},
		{key: "force", value: "disabled"},
	} {
		pair := map[string]string{prefix + test.key: test.value}
		for _, mode := range []manifest.Mode{manifest.ModeOf(pair, nil), manifest.ModeOf(nil, pair)} {
			if mode.Untouched() != test.untouched || mode.Kept() != test.kept || mode.Force != test.force {
				t.Errorf("%v: %+v", pair, mode)
			}
		}
	}
}
