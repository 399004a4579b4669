package rollout

import "testing"

func TestNumberHasTheWordsThatFitIt(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{0: "0 clusters are", 1: "1 cluster is", 2: "2 clusters are"} {
		if got := number(n, "cluster is", "clusters are"); got != want {
			t.Errorf("%d: %q", n, got)
		}
	}
}
