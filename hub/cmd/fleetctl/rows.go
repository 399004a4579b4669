package main

import (
	"fmt"
	"strings"

	"flotilla.dev/flotilla/hub/cmd/fleetctl/printer"
)

// printRows writes names and values in two columns. A row without a name parts two sections; one without a value is left
// out.
func (a *app) printRows(rows [][2]string) error {
	width := 0
	for _, row := range rows {
		width = max(width, len(row[0]))
	}
	var text strings.Builder
	for _, row := range rows {
		switch {
		case row[0] == "":
			text.WriteString("---\n")
		case row[1] != "":
			fmt.Fprintf(&text, "%-*s %s\n", width+1, row[0]+":", printer.Fold(row[1]))
		}
	}
	_, err := fmt.Fprint(a.stdout, text.String())
	return err
}
