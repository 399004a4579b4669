package e2e

import (
	"testing"

	"flotilla.dev/flotilla/test/lab"
)

func TestFieldsOfOtherManagersStay(t *testing.T) {
	t.Parallel()
	fleet := lab.TestFleet(t)
	a := newApp(t, fleet)
	a.settle()
	for _, m := range fleet.Members {
		a.patch(m, "app", "some-controller", `{"data":{"a":"theirs"}}`)
		a.patch(m, "app", "flux-client-side-apply", `{"data":{"b":"kept"}}`)
		a.patch(m, "app", "kubectl-edit", `{"data":{"value":"edited"}}`) // once this is undone, the others were seen too
		a.data(m, "app", map[string]string{"value": "first", "a": "theirs", "b": "kept"})
	}
}
