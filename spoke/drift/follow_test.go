package drift

import (
	"fmt"
	"testing"
	"testing/synctest"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestAfterAGapWhatIsMissingOrMovedIsFound(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		items   []metav1.Object
		version uint64
		want    string
	}{
		"as it was":                          {items: []metav1.Object{seenAt(10)}, version: 30},
		"moved":                              {items: []metav1.Object{seenAt(11)}, version: 30, want: fmt.Sprint(Doubtful)},
		"missing":                            {version: 30, want: fmt.Sprint(Missing)},
		"a list older than our write":        {version: 9},
		"a list older than our write, moved": {items: []metav1.Object{seenAt(8, "changed")}, version: 9},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil)
				r.applied(t, 10)
				r.trust() // so that only the gap makes what looks the same doubtful
				r.listed(r.kind, test.items, test.version, false)
				if got := r.found(); got != test.want {
					t.Errorf("found %q", got)
				}
			})
		})
	}
}

func TestAClusterThatWentBackIsLookedAtAltogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.applied(t, 10)
		r.listed(r.kind, []metav1.Object{seenAt(10)}, 10, true)
		if got := r.found(); got != fmt.Sprint(Doubtful) {
			t.Errorf("found %q", got)
		}
	})
}
