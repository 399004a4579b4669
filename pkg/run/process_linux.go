package run

import "syscall"

// signalOnDeath has the kernel signal the child when this process ends, even by SIGKILL.
func signalOnDeath(attr *syscall.SysProcAttr, signal syscall.Signal) { attr.Pdeathsig = signal }
