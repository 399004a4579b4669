package fleet

import (
	"errors"
	"strconv"
	"strings"
)

// PruneGuard is how many objects of an App may go in one pass without an approval.
type PruneGuard struct {
	// Off lets everything go.
	Off bool
	// Count and Percent: at most max(Count, Percent of the App's objects) may go.
	Count   int
	Percent int
	// Err says why the text was not understood; the guard is then the default.
	Err error
}

// DefaultPruneGuard is max(5, 20 %).
var DefaultPruneGuard = PruneGuard{Count: 5, Percent: 20}

// ParsePruneGuard reads "N", "N%" or "off"; empty is the default.
func ParsePruneGuard(text string) PruneGuard {
	guard := DefaultPruneGuard
	switch {
	case text == "":
		return guard
	case text == "off":
		return PruneGuard{Off: true}
	}
	digits, percent := strings.CutSuffix(text, "%")
	n, err := strconv.Atoi(digits)
	if err != nil || n < 0 || percent && n > 100 {
		guard.Err = errors.New(strconv.Quote(text) + " is not a number of objects, a percentage such as 20%, or off")
		return guard
	}
	if percent {
		return PruneGuard{Percent: n}
	}
	return PruneGuard{Count: n}
}

// Allows reports whether lost of total objects may go without an approval.
func (g PruneGuard) Allows(lost, total int) bool {
	return g.Off || lost <= max(g.Count, total*g.Percent/100)
}
