// Package printer lays out what fleetctl shows: tables that can grow, JSON, YAML, ages and colours.
package printer

import (
	"io"
	"strings"
	"unicode/utf8"
)

// gap between two columns.
const gap = 3

// Table lays out rows in columns. Rows that are flushed later keep to the widths of the earlier ones where they fit,
// so that a followed table stays aligned.
type Table struct {
	// Headers of the columns; none: no header line.
	Headers []string
	// NoHeaders leaves the header line out.
	NoHeaders bool
	// Meaning says what the word in a column of a row means, so that it has a colour; nil: none has.
	Meaning func(row []string, column int) Meaning
	// Indent is put before every line.
	Indent string

	widths  []int
	rows    [][]string
	flushed bool
}

// Add appends a row. An empty cell shows as "-", so that columns can be counted.
func (t *Table) Add(cells ...string) {
	row := make([]string, len(cells))
	for i, cell := range cells {
		cell = Fold(cell)
		if cell == "" {
			cell = "-"
		}
		row[i] = cell
	}
	t.rows = append(t.rows, row)
}

// Len is the number of rows that wait to be flushed.
func (t *Table) Len() int { return len(t.rows) }

// Flush writes the rows that were added since the last Flush; the header line comes with the first ones.
func (t *Table) Flush(w io.Writer) error {
	if len(t.rows) == 0 {
		return nil
	}
	rows := t.rows
	headed := !t.flushed && !t.NoHeaders && len(t.Headers) > 0
	t.flushed, t.rows = true, nil
	if headed {
		t.widen([][]string{t.Headers})
	}
	t.widen(rows)
	var text strings.Builder
	if headed {
		text.WriteString(t.layOut(t.Headers, nil))
	}
	for _, row := range rows {
		text.WriteString(t.layOut(row, t.Meaning))
	}
	_, err := io.WriteString(w, text.String())
	return err
}

func (t *Table) widen(lines [][]string) {
	for _, line := range lines {
		for i, cell := range line {
			if i == len(t.widths) {
				t.widths = append(t.widths, 0)
			}
			t.widths[i] = max(t.widths[i], utf8.RuneCountInString(cell))
		}
	}
}

func (t *Table) layOut(row []string, meaning func([]string, int) Meaning) string {
	var text strings.Builder
	text.WriteString(t.Indent)
	for i, cell := range row {
		if meaning != nil {
			text.WriteString(Colour(meaning(row, i), cell))
		} else {
			text.WriteString(cell)
		}
		if i < len(row)-1 {
			text.WriteString(strings.Repeat(" ", t.widths[i]-utf8.RuneCountInString(cell)+gap))
		}
	}
	text.WriteByte('\n')
	return text.String()
}
