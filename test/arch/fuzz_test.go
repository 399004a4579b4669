package arch

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// What make fuzz says of a target for which go test said something, here by another program of that name.
func TestFuzzPassesATargetWhoseTimeWasUpAndNoOther(t *testing.T) {
	t.Parallel()
	read(t, "test/fuzz.sh") // what this test's cached result depends on
	const head, tail = "fuzz: elapsed: 10s, execs: 44408 (3717/sec), new interesting: 9 (total: 255)\n--- FAIL: FuzzIgnore (10.11s)\n",
		"FAIL\nexit status 1\nFAIL\tflotilla.dev/flotilla/pkg/artifact\t10.130s\n"
	for what, test := range map[string]struct {
		says       string
		code, want int
	}{
		"nothing was found":     {"PASS\nok  \tflotilla.dev/flotilla/pkg/artifact\t10.1s\n", 0, 0},
		"its time was up":       {head + "    context deadline exceeded\n" + tail, 1, 0},
		"an input was found":    {head + "    --- FAIL: FuzzIgnore (0.00s)\n        ignore_test.go:7: no\n    Failing input written to testdata/fuzz/FuzzIgnore/1\n" + tail, 1, 1},
		"both":                  {head + "    context deadline exceeded\n    Failing input written to testdata/fuzz/FuzzIgnore/1\n" + tail, 1, 1},
		"it says more":          {head + "    ignore_test.go:7: context deadline exceeded\n" + tail, 1, 1},
		"it does not compile":   {"FAIL\tflotilla.dev/flotilla/pkg/artifact [build failed]\n", 1, 1},
		"it was killed quietly": {"", 137, 137},
	} {
		dir := t.TempDir()
		program := fmt.Sprintf("#!/bin/sh\ncat %q\nexit %d\n", filepath.Join(dir, "says"), test.code)
		syscall.ForkLock.RLock() // a child of another test would have the program open for writing, and it could not be run
		err := errors.Join(os.WriteFile(filepath.Join(dir, "says"), []byte(test.says), 0o644), os.WriteFile(filepath.Join(dir, "go"), []byte(program), 0o755))
		syscall.ForkLock.RUnlock()
		if err != nil {
			t.Fatal(err)
		}
		fuzz := exec.CommandContext(t.Context(), "test/fuzz.sh", "./pkg/artifact", "FuzzIgnore", "10s")
		fuzz.Dir, fuzz.Env = moduleRoot(t), append(os.Environ(), "PATH="+dir+string(filepath.ListSeparator)+os.Getenv("PATH"))
		output, err := fuzz.CombinedOutput()
		code := 0
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			code = exit.ExitCode()
		} else if err != nil {
			t.Fatal(err)
		}
		if code != test.want {
			t.Errorf("%s: exit %d, not %d: %s", what, code, test.want, output)
		}
	}
}
