package render

import (
	"bytes"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// executable is this very program, even if its file has been replaced since.
func executable() (string, error) { return "/proc/self/exe", nil }

// attributes give a worker a process group of its own, and end it with the pool.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// killGroup ends all processes of a worker's group.
func killGroup(pid int) { _ = syscall.Kill(-pid, syscall.SIGKILL) } // it may be gone

// killed reports whether the process ended by a SIGKILL.
func killed(state *os.ProcessState) bool {
	status, ok := state.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// limit bounds this process: memory, and no files to write or programs' dumps to leave behind. Address space is left
// alone, because a Go program does not start without plenty of it.
func limit(s settings) error {
	limits := map[int]uint64{unix.RLIMIT_CORE: 0, unix.RLIMIT_FSIZE: 0, unix.RLIMIT_NOFILE: 32}
	if !raceDetector { // which maps more memory than any limit
		limits[unix.RLIMIT_DATA] = uint64(s.Memory) // positive
	}
	for resource, value := range limits {
		if err := unix.Setrlimit(resource, &unix.Rlimit{Cur: value, Max: value}); err != nil {
			return fmt.Errorf("setrlimit %d: %w", resource, err)
		}
	}
	over := make(chan os.Signal, 1)
	signal.Notify(over, unix.SIGXCPU)
	go func() {
		<-over
		fmt.Fprintln(os.Stderr, overCPU)
		os.Exit(2)
	}()
	return nil
}

// limitJob gives this process that much more processor time. The kernel counts from its start, in whole seconds.
func limitJob(cpu time.Duration) error {
	var used unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &used); err != nil {
		return fmt.Errorf("getrusage: %w", err)
	}
	seconds := used.Utime.Sec + used.Stime.Sec + 1 + int64(cpu.Seconds())
	var now unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CPU, &now); err != nil {
		return fmt.Errorf("getrlimit: %w", err)
	}
	now.Cur = min(uint64(seconds), now.Max) // positive
	if err := unix.Setrlimit(unix.RLIMIT_CPU, &now); err != nil {
		return fmt.Errorf("setrlimit: %w", err)
	}
	return nil
}

// resident is the memory of a process that is in RAM, in bytes; 0 when it is gone.
func resident(pid int) int64 {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	fields := bytes.Fields(data)
	if err != nil || len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(string(fields[1]), 10, 64)
	return pages * int64(os.Getpagesize())
}
