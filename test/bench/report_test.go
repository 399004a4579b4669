package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func example() report {
	commit := figureOf("commit", seconds, sample{0.2, 0.3, 0.4}, "push returned until applied")
	commit.Ratio = 4
	return report{
		Objects: 1000, CPUs: 2, LoadBefore: 0.52, LoadAfter: 2.25, Seconds: 181.4,
		Figures: []figure{commit, figureOf("rest, API calls", perMinute, sample{6}, "the spoke's")},
	}
}

func TestTableHasARowForEachFigure(t *testing.T) {
	t.Parallel()
	want := `
One hub, one cluster with its spoke, an app of 1000 ConfigMaps of 600 bytes, all intervals 1m.
2 CPUs; load average 0.5 before and 2.2 after; 181 s in all.

FIGURE           VALUE   MIN .. MAX        N  RATIO  WHAT IT IS
commit           300 ms  200 ms .. 400 ms  3  4      push returned until applied
rest, API calls  6/min                     1         the spoke's
` + legend
	var printed strings.Builder
	if err := example().print(&printed, "table"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, printed.String()); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
}

func TestJSONHoldsTheWholeReport(t *testing.T) {
	t.Parallel()
	var printed strings.Builder
	if err := example().print(&printed, "json"); err != nil {
		t.Fatal(err)
	}
	var got report
	if err := json.Unmarshal([]byte(printed.String()), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(example(), got); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
}
