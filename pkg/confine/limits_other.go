//go:build !linux

package confine

import (
	"os"
	"syscall"
	"time"
)

// Executable is this program.
func Executable() (string, error) { return os.Executable() }

// Attributes ask for nothing here.
func Attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }

// KillGroup does nothing here.
func KillGroup(int) {}

// Killed cannot tell here.
func Killed(*os.ProcessState) bool { return false }

// Limit bounds nothing here.
func Limit(int64, uint64) error { return nil }

// MoreCPU bounds nothing here.
func MoreCPU(time.Duration) error { return nil }

// Resident is not known here.
func Resident(int) int64 { return 0 }
