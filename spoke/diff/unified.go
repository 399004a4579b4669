package diff

import (
	"fmt"
	"slices"
	"strings"
)

const (
	// around is how many lines are shown around a change.
	around = 3
	// maxEdits bounds the search for the shortest diff: texts that differ in more lines are shown whole, before and after.
	maxEdits = 500
)

// edit is a line that is in both texts (' '), only in the first ('-') or only in the second ('+').
type edit struct {
	op   byte
	line string
}

// unified is the diff of two texts in the unified format, without a header; empty when they are the same.
func unified(a, b string) string {
	if a == b {
		return ""
	}
	edits := compare(lines(a), lines(b))
	var out strings.Builder
	for start := 0; start < len(edits); {
		if edits[start].op == ' ' {
			start++
			continue
		}
		from, to := max(start-around, 0), start
		for last := start; to < len(edits) && to <= last+2*around; to++ {
			if edits[to].op != ' ' {
				last = to
			}
		}
		end := to
		for end > from && edits[end-1].op == ' ' {
			end--
		}
		end = min(end+around, len(edits))
		writeHunk(&out, edits, from, end)
		start = end
	}
	return out.String()
}

// writeHunk writes the edits from and up to end, with where they stand in both texts.
func writeHunk(out *strings.Builder, edits []edit, from, end int) {
	var at, count [2]int
	for i, e := range edits[:end] {
		for side, absent := range [2]byte{'+', '-'} {
			switch {
			case e.op == absent:
			case i < from:
				at[side]++
			default:
				count[side]++
			}
		}
	}
	for side := range at {
		if count[side] > 0 {
			at[side]++ // lines count from one; an empty part stands behind the line of that number
		}
	}
	fmt.Fprintf(out, "@@ -%d,%d +%d,%d @@\n", at[0], count[0], at[1], count[1])
	for _, e := range edits[from:end] {
		out.WriteByte(e.op)
		out.WriteString(e.line)
		out.WriteByte('\n')
	}
}

func lines(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}

// compare finds the fewest edits that make b of a (Myers, "An O(ND) Difference Algorithm and Its Variations", 1986).
func compare(a, b []string) []edit {
	var edits []edit
	prefix := 0
	for prefix < len(a) && prefix < len(b) && a[prefix] == b[prefix] {
		edits = append(edits, edit{' ', a[prefix]})
		prefix++
	}
	a, b = a[prefix:], b[prefix:]
	suffix := 0
	for suffix < len(a) && suffix < len(b) && a[len(a)-1-suffix] == b[len(b)-1-suffix] {
		suffix++
	}
	tail := a[len(a)-suffix:]
	edits = append(edits, shortest(a[:len(a)-suffix], b[:len(b)-suffix])...)
	for _, line := range tail {
		edits = append(edits, edit{' ', line})
	}
	return edits
}

func shortest(a, b []string) []edit {
	// reached holds for each number of edits how far into a one comes on each diagonal from -d to d.
	var reached [][]int
	for d := 0; d <= min(len(a)+len(b), maxEdits); d++ {
		row := make([]int, 2*d+1)
		for k := -d; k <= d; k += 2 {
			x := 0
			if d > 0 {
				x, _ = step(reached[d-1], d, k)
			}
			for x < len(a) && x-k < len(b) && a[x] == b[x-k] {
				x++
			}
			row[k+d] = x
			if x >= len(a) && x-k >= len(b) {
				return walk(a, b, append(reached, row), k)
			}
		}
		reached = append(reached, row)
	}
	return replaced(a, b)
}

// step is where the d-th edit leads on diagonal k, from the row before, and the diagonal that it comes from.
func step(before []int, d, k int) (x, from int) {
	at := func(k int) int { return before[k+d-1] }
	if k == -d || k != d && at(k-1) < at(k+1) {
		return at(k + 1), k + 1 // a line of b
	}
	return at(k-1) + 1, k - 1 // a line of a is left out
}

// walk goes back from the end, on diagonal k, over what was reached.
func walk(a, b []string, reached [][]int, k int) []edit {
	var reversed []edit
	x := len(a)
	for d := len(reached) - 1; d >= 0; d-- {
		start, from := 0, k
		if d > 0 {
			start, from = step(reached[d-1], d, k)
		}
		for ; x > start; x-- {
			reversed = append(reversed, edit{' ', a[x-1]})
		}
		switch {
		case d == 0:
		case from > k:
			reversed = append(reversed, edit{'+', b[x-k-1]})
		default:
			reversed = append(reversed, edit{'-', a[x-1]})
			x--
		}
		k = from
	}
	slices.Reverse(reversed)
	return reversed
}

// replaced has all of a go and all of b come.
func replaced(a, b []string) []edit {
	edits := make([]edit, 0, len(a)+len(b))
	for _, line := range a {
		edits = append(edits, edit{'-', line})
	}
	for _, line := range b {
		edits = append(edits, edit{'+', line})
	}
	return edits
}
