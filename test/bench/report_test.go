package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func example() report {
	loop := figureOf("loop", seconds, sample{0.1}, "")
	commit := figureOf("commit", seconds, sample{0.2, 0.3, 0.4}, "push returned until applied").against(loop, 2.5)
	return report{
		Kind: "ConfigMap", Objects: 1000, CPUs: 2, LoadBefore: 0.52, LoadAfter: 2.25, Seconds: 181.4,
		Figures: []figure{commit, figureOf("rest, API calls", perMinute, sample{6}, "the spoke's").upTo(10)},
	}
}

func TestTableHasARowForEachFigure(t *testing.T) {
	t.Parallel()
	want := `
One hub, one cluster with its spoke, an app of 1000 ConfigMaps, all intervals 1m.
2 CPUs; load average 0.5 before and 2.2 after; 181 s in all.

FIGURE           VALUE   MIN .. MAX        N  RATIO  TARGET            WHAT IT IS
commit           300 ms  200 ms .. 400 ms  3  3.00x  <= 2.50x, missed  push returned until applied
rest, API calls  6/min                     1         <= 10/min         the spoke's
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
