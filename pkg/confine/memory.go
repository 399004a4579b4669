package confine

import (
	"math"
	"strconv"
	"strings"
)

// CodeSize is what a process has resident of its program, which is no work of its: it is allowed beside the memory that
// Limit gives.
const CodeSize = 128 << 20

// Environment are the variables by which the runtime of a process keeps within that memory: the garbage collector aims
// at less than the limit at which the process dies, and it has two threads at work, since more would take more than a
// job's share of the machine, and memory.
func Environment(memory int64) []string {
	return []string{
		"GOMEMLIMIT=" + strconv.FormatInt(int64(math.Round(float64(memory)*0.6)), 10),
		"GOGC=200",
		"GOMAXPROCS=2",
		"GOTRACEBACK=none", // the reason of a crash is enough, and is one line
		"TMPDIR=/nonexistent",
	}
}

// OverCPU is the line that a process prints when its processor time is over.
const OverCPU = "processor time is over"

// Reason is why a process ended by itself, as far as what it printed last tells.
type Reason int

// The reasons.
const (
	Unknown Reason = iota
	OutOfMemory
	// NoThread is for want of memory, unless the machine has no more threads to give: then no other process starts either.
	NoThread
	TooDeep
	OutOfCPU
)

// Diagnose reads the last words of a process.
func Diagnose(lines []string) Reason {
	for _, line := range lines {
		switch {
		case strings.Contains(line, "out of memory"), strings.Contains(line, "cannot allocate memory"):
			return OutOfMemory
		case strings.Contains(line, "pthread_create failed"), strings.Contains(line, "failed to create new OS thread"):
			return NoThread
		case strings.Contains(line, "stack overflow"), strings.Contains(line, "stack exceeds"):
			return TooDeep
		case line == OverCPU:
			return OutOfCPU
		}
	}
	return Unknown
}
