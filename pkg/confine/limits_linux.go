package confine

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

// Executable is this very program, even if its file has been replaced since.
func Executable() (string, error) { return "/proc/self/exe", nil }

// Attributes give a process a group of its own, and end it with who has started it.
func Attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// KillGroup ends all processes of the group that a process was given.
func KillGroup(pid int) { _ = syscall.Kill(-pid, syscall.SIGKILL) } // it may be gone

// Killed reports whether the process ended by a SIGKILL.
func Killed(state *os.ProcessState) bool {
	status, ok := state.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// Limit bounds this process: its memory, in bytes, the files and connections that it may have open, and no files to write
// or programs' dumps to leave behind. Address space is left alone, because a Go program does not start without plenty of
// it. When the processor time is over that MoreCPU gives, it prints OverCPU and ends.
//
// Where the machine, or the container, has no memory left, this process is ended before others: it is the one whose work
// can be given up.
func Limit(memory int64, files uint64) error {
	if err := os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0); err != nil { // everybody may raise it
		return fmt.Errorf("be the first to go without memory: %w", err)
	}
	limits := map[int]uint64{unix.RLIMIT_CORE: 0, unix.RLIMIT_FSIZE: 0, unix.RLIMIT_NOFILE: files}
	if !raceDetector { // which maps more memory than any limit
		limits[unix.RLIMIT_DATA] = uint64(memory) // positive
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
		fmt.Fprintln(os.Stderr, OverCPU)
		os.Exit(2)
	}()
	return nil
}

// MoreCPU gives this process that much more processor time from now on. The kernel counts from its start, in whole
// seconds.
func MoreCPU(cpu time.Duration) error {
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

// Resident is the memory of a process that is in RAM, in bytes; 0 when it is gone.
func Resident(pid int) int64 {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	fields := bytes.Fields(data)
	if err != nil || len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(string(fields[1]), 10, 64)
	return pages * int64(os.Getpagesize())
}
