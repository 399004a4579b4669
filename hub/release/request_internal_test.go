package release

import (
	"testing"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
)

func TestARequestIsForgottenWithItsSource(t *testing.T) {
	t.Parallel()
	stays := &declaredSource{object: &resource.Object{Kind: "Bucket", Metadata: resource.Metadata{Namespace: "apps", Name: "stays"}}}
	gone := &declaredSource{object: &resource.Object{Kind: "Bucket", Metadata: resource.Metadata{Namespace: "apps", Name: "gone"}}}
	stays.state.Upstream = fleet.DigestOf([]byte("it was not looked at since"))
	stays.object.Metadata.Annotations = map[string]string{"reconcile.fluxcd.io/requestedAt": "now"}
	l := &Loop{asked: map[string]asked{stays.name(): {request: "now"}, gone.name(): {request: "now"}}}
	if err := l.serve(t.Context(), &view{sources: []*declaredSource{stays}}); err != nil {
		t.Fatal(err)
	}
	if _, is := l.asked[stays.name()]; !is || len(l.asked) != 1 {
		t.Errorf("remembered are %v", l.asked)
	}
}
