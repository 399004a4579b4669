package e2e

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"flotilla.dev/flotilla/test/lab"
)

func TestChangesByHandAreUndoneFromTheWatch(t *testing.T) {
	t.Parallel()
	fleet := lab.TestFleet(t)
	a := newApp(t, fleet)
	a.settle()
	m := fleet.Members[0]
	want := map[string]string{"value": "first"}
	a.patch(m, "app", "kubectl-edit", `{"data":{"value":"edited"}}`)
	a.data(m, "app", want)
	a.patch(m, "app", "kubectl-patch", `{"data":{"extra":"by hand"}}`)
	a.data(m, "app", want) // a field that Git does not set goes too, as with Flux
	if err := a.client(m).CoreV1().ConfigMaps(a.namespace).Delete(t.Context(), "app", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	a.data(m, "app", want)
}

func TestFieldsOfOtherManagersStay(t *testing.T) {
	t.Parallel()
	fleet := lab.TestFleet(t)
	a := newApp(t, fleet)
	a.settle()
	m := fleet.Members[0]
	a.patch(m, "app", "some-controller", `{"data":{"a":"theirs"}}`)
	a.patch(m, "app", "flux-client-side-apply", `{"data":{"b":"kept"}}`)
	a.patch(m, "app", "kubectl-edit", `{"data":{"value":"edited"}}`) // once this is undone, the others were seen too
	a.data(m, "app", map[string]string{"value": "first", "a": "theirs", "b": "kept"})
}
