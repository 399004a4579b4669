//go:build unix && !linux

package lab

import "syscall"

// dieWithParent does nothing here: only Stop ends what was started.
func dieWithParent(*syscall.SysProcAttr) {}
