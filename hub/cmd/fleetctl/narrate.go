package main

import (
	"fmt"
	"strings"

	"flotilla.dev/flotilla/hub/cmd/fleetctl/printer"
)

// symbol begins a line of narration, as in Flux's client.
type symbol struct{ mark, plain, colour string }

var (
	symbolDo   = symbol{"►", ">", "\x1b[36m"}
	symbolWait = symbol{"◎", "..", "\x1b[33m"}
	symbolDone = symbol{"✔", "ok", "\x1b[32m"}
	symbolFail = symbol{"✗", "x", "\x1b[31m"}
	symbolWarn = symbol{"⚠", "!", "\x1b[33m"}
	// symbolRest stands before what is not begun, symbolNone before what will not be.
	symbolRest = symbol{"·", ".", ""}
	symbolNone = symbol{"-", "-", ""}
	// symbolNext stands before what to do about the rest of the line.
	symbolNext = symbol{"→", "->", ""}
)

// say tells the person what is going on, on stderr, unless they asked for quiet.
func (a *app) say(s symbol, format string, args ...any) {
	if a.flags.quiet {
		return
	}
	a.narrating.Lock()
	defer a.narrating.Unlock()
	fmt.Fprintf(a.stderr, "%s %s\n", a.mark(s, a.colours(a.stderrTTY)), printer.Fold(fmt.Sprintf(format, args...)))
}

// mark is the symbol as the terminal can show it.
func (a *app) mark(s symbol, coloured bool) string {
	mark := s.mark
	if !a.utf8() {
		mark = s.plain
	}
	if !coloured || s.colour == "" {
		return mark
	}
	return s.colour + mark + "\x1b[0m"
}

// warn tells a warning, which quiet does not silence.
func (a *app) warn(format string, args ...any) {
	a.narrating.Lock()
	defer a.narrating.Unlock()
	fmt.Fprintf(a.stderr, "Warning: %s\n", printer.Fold(fmt.Sprintf(format, args...)))
}

// colours reports whether a stream shall have colours.
func (a *app) colours(tty bool) bool {
	switch a.flags.color {
	case "always":
		return true
	case "never":
		return false
	}
	if a.env("CLICOLOR_FORCE") != "" && a.env("CLICOLOR_FORCE") != "0" {
		return true
	}
	return tty && a.env("NO_COLOR") == "" && a.env("TERM") != "dumb"
}

// utf8 reports whether the terminal shows UTF-8: unless the locale says otherwise, it does.
func (a *app) utf8() bool {
	for _, variable := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if value := strings.ToLower(a.env(variable)); value != "" {
			return strings.Contains(value, "utf-8") || strings.Contains(value, "utf8")
		}
	}
	return true
}

// table is a table for stdout; meaning, which may be nil, gives its words their colours.
func (a *app) table(meaning func(row []string, column int) printer.Meaning, headers ...string) *printer.Table {
	t := &printer.Table{Headers: headers}
	if a.colours(a.stdoutTTY) {
		t.Meaning = meaning
	}
	return t
}

// inColumn is the meaning of the words of one column.
func inColumn(column int, m printer.Meaning) func([]string, int) printer.Meaning {
	return func(_ []string, i int) printer.Meaning {
		if i == column {
			return m
		}
		return printer.Plain
	}
}

// emit writes value when a format for machines was asked for, and reports whether it did.
func (a *app) emit(value any) (bool, error) {
	switch a.flags.output {
	case "json":
		return true, printer.JSON(a.stdout, value)
	case "yaml":
		return true, printer.YAML(a.stdout, value)
	}
	return false, nil
}

// emitNext is emit for one document of a stream: JSON is on a line of its own, YAML behind a "---".
func (a *app) emitNext(value any) (bool, error) {
	switch a.flags.output {
	case "json":
		return true, printer.JSONLine(a.stdout, value)
	case "yaml":
		if _, err := fmt.Fprintln(a.stdout, "---"); err != nil {
			return true, err
		}
		return true, printer.YAML(a.stdout, value)
	}
	return false, nil
}
