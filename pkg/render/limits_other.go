//go:build !linux

package render

import (
	"os"
	"syscall"
	"time"
)

// Outside Linux, where no hub runs in earnest, a build is bounded by time alone.

func executable() (string, error) { return os.Executable() }

func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }

func killGroup(int) {}

func killed(*os.ProcessState) bool { return false }

func limit(settings) error { return nil }

func limitJob(time.Duration) error { return nil }

func resident(int) int64 { return 0 }
