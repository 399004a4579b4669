package main

import (
	"os"
	"testing"
	"time"
)

func TestCPUTimeIsThatOfTheProcessAndTheKernel(t *testing.T) {
	t.Parallel()
	const stat = "42 (a ) name) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 150 50 20 0 8 0 1 2 3\n"
	for fields, want := range map[int]time.Duration{ownFields: 3 * time.Second, withChildrenFields: 5 * time.Second} {
		if got, err := parseCPUTime(stat, fields); err != nil || got != want {
			t.Errorf("got %s of %d fields, %v", got, fields, err)
		}
	}
	for _, wrong := range []string{"", "42 (name) S 1", "42 (name) S 1 42 42 0 -1 4194560 100 0 0 0 much 50 0 0"} {
		if _, err := parseCPUTime(wrong, withChildrenFields); err == nil {
			t.Errorf("%q was read", wrong)
		}
	}
	if _, err := cpuTime(os.Getpid()); err != nil {
		t.Error(err)
	}
}
