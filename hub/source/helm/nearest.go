package helm

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"flotilla.dev/flotilla/hub/source"
)

const (
	// maxNearest is how many charts are named where one is not there.
	maxNearest = 5
	// maxCompared bounds the names that are compared, in bytes.
	maxCompared = 100
)

// instead says which charts there are where one is not: the nearest by name, or else how many.
func (x *index) instead(chart string) string {
	near := nearest(chart, slices.Sorted(maps.Keys(x.charts)))
	switch {
	case len(x.charts) == 0:
		return "it has none at all; check spec.url of the HelmRepository"
	case len(near) == 0 && len(x.charts) == 1:
		return fmt.Sprintf("it has one, %q; check spec.chart, and spec.url of the HelmRepository", source.Shown(slices.Collect(maps.Keys(x.charts))[0]))
	case len(near) == 0:
		return fmt.Sprintf("it has %d others, none of a similar name; check spec.chart, and spec.url of the HelmRepository", len(x.charts))
	}
	for i, name := range near {
		near[i] = source.Shown(name)
	}
	return "it has " + strings.Join(near, ", ") + "; check spec.chart"
}

// nearest are the names that may be meant by another, the likeliest first. The names are sorted.
func nearest(name string, names []string) []string {
	distances := map[string]int{}
	var near []string
	for _, other := range names {
		if len(name) > maxCompared || len(other) > maxCompared {
			continue
		}
		a, b := strings.ToLower(name), strings.ToLower(other)
		distance := edits(a, b)
		within := len(a) > 2 && len(b) > 2 && (strings.Contains(a, b) || strings.Contains(b, a))
		if within || distance <= max(1, (min(len(a), len(b))+1)/3) {
			distances[other] = distance
			near = append(near, other)
		}
	}
	slices.SortStableFunc(near, func(a, b string) int { return distances[a] - distances[b] })
	return near[:min(len(near), maxNearest)]
}

// edits is how many bytes have to be put in, left out or changed to make b of a.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(diagonal+cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
