package main

import (
	"os"
	"testing"
	"time"
)

func TestCPUTimeIsThatOfTheProcessAndTheKernel(t *testing.T) {
	t.Parallel()
	got, err := parseCPUTime("42 (a ) name) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 8 0 1 2 3\n")
	if err != nil || got != 3*time.Second {
		t.Errorf("got %s, %v", got, err)
	}
	for _, wrong := range []string{"", "42 (name) S 1", "42 (name) S 1 42 42 0 -1 4194560 100 0 0 0 much 50 0 0"} {
		if _, err := parseCPUTime(wrong); err == nil {
			t.Errorf("%q was read", wrong)
		}
	}
	if _, err := cpuTime(os.Getpid()); err != nil {
		t.Error(err)
	}
}
