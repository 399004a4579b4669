package lab

import (
	"bytes"
	"os/exec"
	"runtime"
	"syscall"
)

// runAndWait runs a command to its end; it dies with this process.
func runAndWait(cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	dieWithParent(cmd.SysProcAttr)
	ended := make(chan error, 1)
	go func() {
		// The kernel takes the end of the thread that forked for the death of the parent, so the thread must stay.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		ended <- cmd.Run()
	}()
	return <-ended
}

// runBuild runs the go command, and returns what it said. An interrupted one leaves its compilers running unless their
// group goes too.
func runBuild(build *exec.Cmd) (output string, err error) {
	var said bytes.Buffer
	build.Stdout, build.Stderr = &said, &said
	build.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	build.Cancel = func() error { return syscall.Kill(-build.Process.Pid, syscall.SIGKILL) }
	err = runAndWait(build)
	return said.String(), err
}
