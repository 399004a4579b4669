package lab

import (
	"bytes"
	"errors"
	"io"
	"os/exec"
	"syscall"

	"flotilla.dev/flotilla/pkg/run"
)

// runAndWait runs a command to its end; it gets the signal when this process dies.
func runAndWait(cmd *exec.Cmd, onDeath syscall.Signal) error {
	p, err := run.Start(cmd, onDeath)
	if err != nil {
		return err
	}
	return p.Wait()
}

// runBuild runs the go command, and returns what it said. Its compilers would outlive it, and go on for minutes, so they
// end with their group: when the build is interrupted, and when this process dies.
func runBuild(build *exec.Cmd) (output string, err error) {
	g, err := startGroup()
	if err != nil {
		return "", err
	}
	var said bytes.Buffer
	build.Stdout, build.Stderr = &said, &said
	build.SysProcAttr = &syscall.SysProcAttr{Pgid: g.guard.PID()}
	build.Cancel = func() error { return syscall.Kill(-g.guard.PID(), syscall.SIGKILL) }
	err = runAndWait(build, syscall.SIGKILL)
	g.dissolve()
	return said.String(), err
}

// group is a process group that is killed, all of it, when this process dies.
type group struct {
	guard *run.Process
	alive io.WriteCloser
}

// guardScript waits for the pipe from its owner: a line is leave to end, the end of the pipe is the owner's own.
const guardScript = "read -r _ || kill -KILL 0"

func startGroup() (*group, error) {
	cmd := exec.Command("sh", "-c", guardScript)
	alive, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	// It has to outlive this process, so it is not told of its end but by the pipe.
	guard, err := run.Start(cmd, 0)
	if err != nil {
		return nil, errors.Join(err, alive.Close())
	}
	return &group{guard, alive}, nil
}

// dissolve ends the guard alone, unless it was killed with its group.
func (g *group) dissolve() {
	_, _ = io.WriteString(g.alive, "\n")
	_ = g.alive.Close()
	_ = g.guard.Wait()
}
