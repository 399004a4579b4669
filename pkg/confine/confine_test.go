package confine_test

import (
	"slices"
	"strings"
	"testing"

	"flotilla.dev/flotilla/pkg/confine"
)

func TestLastWordsTellWhyAProcessEnded(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]confine.Reason{
		"fatal error: runtime: out of memory":                                confine.OutOfMemory,
		"runtime: mmap failed: cannot allocate memory":                       confine.OutOfMemory,
		"runtime: failed to create new OS thread (have 5 already; errno=11)": confine.NoThread,
		"fatal error: stack overflow":                                        confine.TooDeep,
		confine.OverCPU:                                                      confine.OutOfCPU,
		"it says: " + confine.OverCPU:                                        confine.Unknown,
		"panic: on purpose":                                                  confine.Unknown,
	} {
		if got := confine.Diagnose([]string{"a line before", line}); got != want {
			t.Errorf("%q is %d, want %d", line, got, want)
		}
	}
}

func TestOutputIsBounded(t *testing.T) {
	t.Parallel()
	var told int
	output := confine.Output{Line: func(string) { told++ }}
	output.Read(strings.NewReader(strings.Repeat("x", 10_000) + "\n\n  second  \n" + strings.Repeat("more\n", 1000)))
	lines := output.Lines()
	if len(lines) != 64 || told != 64 || len(lines[0]) != 512 || lines[1] != "second" {
		t.Errorf("%d lines, %d told, the first of %d bytes, then %q", len(lines), told, len(lines[0]), lines[1])
	}
	output.Begin()
	output.Read(strings.NewReader("again\n"))
	if !slices.Equal(output.Lines(), []string{"again"}) {
		t.Errorf("the lines are %q", output.Lines())
	}
}
