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
	// Paint colours a cell that is laid out; nil: none is.
	Paint func(cell, padded string) string
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
		cell = strings.Join(strings.Fields(cell), " ")
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
	lines := t.rows
	if !t.flushed && !t.NoHeaders && len(t.Headers) > 0 {
		lines = append([][]string{t.Headers}, lines...)
	}
	t.flushed, t.rows = true, nil
	t.widen(lines)
	var text strings.Builder
	for _, line := range lines {
		text.WriteString(t.layOut(line))
		text.WriteByte('\n')
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

func (t *Table) layOut(line []string) string {
	var text strings.Builder
	text.WriteString(t.Indent)
	for i, cell := range line {
		padded := cell
		if i < len(line)-1 {
			padded += strings.Repeat(" ", t.widths[i]-utf8.RuneCountInString(cell)+gap)
		}
		if t.Paint != nil {
			padded = t.Paint(cell, padded)
		}
		text.WriteString(padded)
	}
	return text.String()
}
