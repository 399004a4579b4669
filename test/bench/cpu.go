package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// tick is the kernel's unit of CPU time, USER_HZ: a hundredth of a second on every architecture that Go runs on.
const tick = 10 * time.Millisecond

// cpuTime is what a process has had of the CPU, for itself and in the kernel.
func cpuTime(pid int) (time.Duration, error) { return readCPUTime(pid, ownFields) }

// cpuTimeWithChildren is that of a process and of the processes that it started, once they have ended.
func cpuTimeWithChildren(pid int) (time.Duration, error) { return readCPUTime(pid, withChildrenFields) }

func readCPUTime(pid, fields int) (time.Duration, error) {
	path := fmt.Sprintf("/proc/%d/stat", pid)
	content, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	used, err := parseCPUTime(string(content), fields)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return used, nil
}

// Fields of /proc/PID/stat (proc_pid_stat(5)) from the 14th on: the process's own two, and those of its children that have
// ended.
const (
	ownFields          = 2
	withChildrenFields = 4
)

// parseCPUTime adds up that many fields from the 14th on. The second field, a name in parentheses, may have spaces.
func parseCPUTime(stat string, count int) (time.Duration, error) {
	_, rest, _ := strings.Cut(stat[strings.LastIndexByte(stat, ')')+1:], " ")
	fields := strings.Fields(rest)
	if len(fields) < 11+count {
		return 0, fmt.Errorf("%q has too few fields", stat)
	}
	var ticks time.Duration
	for _, field := range fields[11 : 11+count] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += time.Duration(n)
	}
	return ticks * tick, nil
}
