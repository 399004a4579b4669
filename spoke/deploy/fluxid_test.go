package deploy

import (
	"strings"
	"testing"

	"github.com/fluxcd/cli-utils/pkg/object"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"pgregory.net/rapid"

	"flotilla.dev/flotilla/pkg/fleet"
)

// What Flux writes is read as what it meant.
func TestFluxsIDsAreRead(t *testing.T) {
	t.Parallel()
	name := rapid.StringMatching(`[a-z0-9]([-.a-z0-9]{0,8}[a-z0-9])?`)
	rapid.Check(t, func(t *rapid.T) {
		ref := fleet.ObjectRef{
			Group:     rapid.SampledFrom([]string{"", "apps", "rbac.authorization.k8s.io", "widgets.example.com"}).Draw(t, "group"),
			Version:   "v1",
			Kind:      rapid.SampledFrom([]string{"ConfigMap", "Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"}).Draw(t, "kind"),
			Namespace: rapid.SampledFrom([]string{"", "apps", "kube-system"}).Draw(t, "namespace"),
			Name:      name.Draw(t, "name"),
		}
		if strings.HasPrefix(ref.Group, "rbac") && ref.Kind != "ConfigMap" {
			ref.Name = strings.Join(rapid.SliceOfN(name, 1, 4).Draw(t, "parts"), ":")
		}
		meta := object.ObjMetadata{Namespace: ref.Namespace, Name: ref.Name, GroupKind: schema.GroupKind{Group: ref.Group, Kind: ref.Kind}}
		got, valid := parseFluxID(meta.String(), "v1")
		if !valid || got != ref {
			t.Fatalf("%s is read as %+v, %t", meta, got, valid)
		}
	})
}

func TestWhatIsNoIDIsRefused(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"", "_", "a_b", "a_b_c", "apps___ConfigMap", "apps_a__", "ConfigMap"} {
		if ref, valid := parseFluxID(id, "v1"); valid {
			t.Errorf("%q is read as %+v", id, ref)
		}
	}
	if _, valid := parseFluxID("apps_a__ConfigMap", ""); valid {
		t.Error("an entry without a version is read")
	}
}
