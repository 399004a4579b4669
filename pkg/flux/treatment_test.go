package flux_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
)

// What says how objects are treated, and would come to nothing in a cluster, is refused when it is applied, with its
// path.
func TestWhatNoSpokeCouldActOnIsRefused(t *testing.T) {
	t.Parallel()
	prune := true
	for name, test := range map[string]struct {
		release fleet.ReleaseSpec
		want    string
	}{
		"a ServiceAccount":                    {fleet.ReleaseSpec{ServiceAccountName: "deployer.v1"}, ""},
		"a ServiceAccount of another's":       {fleet.ReleaseSpec{ServiceAccountName: "kube-system:admin"}, `spec.serviceAccountName: "kube-system:admin" is not the name of a ServiceAccount`},
		"a ServiceAccount in capital letters": {fleet.ReleaseSpec{ServiceAccountName: "Deployer"}, "spec.serviceAccountName"},
	} {
		spec := flux.Kustomization{
			Interval: duration(time.Minute), Prune: &prune, SourceRef: flux.SourceRef{Kind: "GitRepository", Name: "app"}, ReleaseSpec: test.release,
		}
		err := spec.Validate("apps")
		if test.want == "" && err != nil || test.want != "" && (!errors.Is(err, fleet.ErrInvalid) || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
