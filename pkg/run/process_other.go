//go:build unix && !linux

package run

import "syscall"

// signalOnDeath does nothing here: only who started a child ends it.
func signalOnDeath(*syscall.SysProcAttr, syscall.Signal) {}
