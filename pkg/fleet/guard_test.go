package fleet_test

import (
	"testing"

	"flotilla.dev/flotilla/pkg/fleet"
)

func TestPruneGuardAllowsUpToItsBound(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		text        string
		total, most int // of total objects, most may go
	}{
		{"", 10, 5}, {"", 100, 20}, {"", 29, 5}, {"", 30, 6},
		{"0", 100, 0}, {"7", 100, 7}, {"0%", 100, 0}, {"50%", 9, 4}, {"100%", 9, 9}, {"off", 1000, 1000},
		{"101%", 100, 20}, {"-1", 100, 20}, {"lots", 100, 20}, {"5 %", 100, 20}, // the default where it is not understood
	} {
		guard := fleet.ParsePruneGuard(test.text)
		if !guard.Allows(test.most, test.total) || test.most < test.total && guard.Allows(test.most+1, test.total) {
			t.Errorf("guard %q of %d objects is not at %d", test.text, test.total, test.most)
		}
	}
	for text, understood := range map[string]bool{"": true, "5": true, "20%": true, "off": true, "101%": false, "-1": false, "lots": false} {
		if err := fleet.ParsePruneGuard(text).Err; (err == nil) != understood {
			t.Errorf("%q: error %v", text, err)
		}
	}
}
