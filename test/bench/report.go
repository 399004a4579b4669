package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// report is what a run came to.
type report struct {
	// Kind is what the app consists of, Objects how many of them each side has.
	Kind    string `json:"kind"`
	Objects int    `json:"objects"`
	CPUs    int    `json:"cpus"`
	// LoadBefore and LoadAfter are the machine's load average of a minute, this run's own load included.
	LoadBefore float64 `json:"loadBefore"`
	LoadAfter  float64 `json:"loadAfter"`
	// Seconds is what the run took, from the start of the first part.
	Seconds float64  `json:"seconds"`
	Figures []figure `json:"figures"`
}

// print writes the report as a table or as json.
func (r report) print(w io.Writer, output string) error {
	if output == "json" {
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		return encoder.Encode(r)
	}
	_, err := io.WriteString(w, r.table())
	return err
}

func (r report) table() string {
	var text strings.Builder
	what, legend := fmt.Sprintf("one cluster with its spoke, an app of %d %ss, all intervals 1m", r.Objects, r.Kind), legend
	switch r.Kind {
	case releaseKind:
		what, legend = fmt.Sprintf("one cluster with its spoke, %d %ss, all intervals 1m", r.Objects, r.Kind), releasesLegend
	case rolloutKind:
		what, legend = fmt.Sprintf("%d clusters without Kubernetes, each with a session", r.Objects), rolloutLegend
	}
	fmt.Fprintf(&text, "\nOne hub, %s.\n", what)
	fmt.Fprintf(&text, "%d CPUs; load average %.1f before and %.1f after; %.0f s in all.\n\n", r.CPUs, r.LoadBefore, r.LoadAfter, r.Seconds)
	rows := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(rows, "FIGURE\tVALUE\tMIN .. MAX\tN\tRATIO\tTARGET\tWHAT IT IS")
	for _, f := range r.Figures {
		fmt.Fprintf(rows, "%s\t%s\t%s\t%d\t%s\t%s\t%s\n", f.Name, f.Unit.format(f.Value), f.spread(), f.N, f.ratio(), f.target(), f.Means)
	}
	_ = rows.Flush() // into memory
	text.WriteString(legend)
	return text.String()
}

const legend = `
VALUE   the median of N measurements, but for p99.
RATIO   the time by the bare loop's: below 1, Flotilla is the faster. The bare loop is client-go with forced server-side
        applies, timed in turn with Flotilla (A-B-B-A) at the same API server, whose etcd does not fsync.
TARGET  what the ratio, or else the value, is not to exceed.
Times end when the benchmark's own watch has seen the last object as it should be; an edit undone before its answer was
read counts as 0 ms.
`

const releasesLegend = `
VALUE   the median of N measurements.
RATIO   the time, or the CPU's time, by the plain loop's: below 1, Flotilla takes less. The plain loop is Helm's SDK in one
        process that runs helm upgrade --install for one release of the same chart after the other, in turn with Flotilla, at
        the same API server. It waits for what it installs, as Flotilla does, unless the row says otherwise; where nothing
        has changed it does not wait.
Unchanged releases are looked at as thoroughly as Flotilla ever does without being asked: every hour, or every interval where
that is longer.
TARGET  what the ratio is not to exceed.
`

const rolloutLegend = `
VALUE   the median of N measurements, but where it says otherwise.
TARGET  what the value is not to exceed.
All of it shares this machine: the hub, Postgres, whose commits reach the disk, and the other end of each session.
`

// spread is empty for a single measurement.
func (f figure) spread() string {
	if f.N == 1 {
		return ""
	}
	return f.Unit.format(f.Min) + " .. " + f.Unit.format(f.Max)
}

func (f figure) ratio() string {
	if f.Ratio == 0 {
		return ""
	}
	return digits(f.Ratio) + "x"
}
