package render

import (
	"fmt"
	"testing"

	"flotilla.dev/flotilla/pkg/fleet"
)

// A namespace that was deleted is not taken out.
func TestWhatIsDistrustedIsBounded(t *testing.T) {
	t.Parallel()
	d := distrust{shapes: map[string][]fleet.Digest{}}
	for i := range 2 * maxDistrusts {
		d.add(fmt.Sprint("tenant", i), fleet.DigestOf([]byte("a")))
	}
	for i := range 2 * maxDistrusted {
		d.add("many", fleet.DigestOf(fmt.Append(nil, i)))
	}
	if len(d.shapes) != maxDistrusts || len(d.tenants) != maxDistrusts || len(d.shapes["many"]) != maxDistrusted {
		t.Errorf("%d tenants, %d in order, %d shapes of one", len(d.shapes), len(d.tenants), len(d.shapes["many"]))
	}
	last := fmt.Sprint("tenant", 2*maxDistrusts-1)
	if told := map[fleet.Digest]bool{}; len(d.lacking(last, told)) != 1 || len(d.lacking(last, told)) != 0 || len(d.lacking("tenant0", told)) != 0 {
		t.Error("not the last ones are kept, or they are told twice")
	}
}
