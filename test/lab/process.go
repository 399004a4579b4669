package lab

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"

	"flotilla.dev/flotilla/pkg/run"
)

// process is a child that logs to a file and dies with this process.
type process struct {
	*run.Process
	name, log string
}

// startProcess starts the command in a process group of its own, its output appended to the log file.
func startProcess(name string, cmd *exec.Cmd, log string) (*process, error) {
	output, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer output.Close()
	cmd.Stdout, cmd.Stderr = output, output
	started, err := run.Start(cmd, syscall.SIGKILL)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return &process{Process: started, name: name, log: log}, nil
}

// kill ends the process and its group with SIGKILL and waits. A nil process is ended already.
func (p *process) kill() {
	if p == nil || p.Ended() {
		return
	}
	_ = syscall.Kill(-p.PID(), syscall.SIGKILL)
	<-p.Done()
}

// failure is the error of a process that should be running, with the end of its log.
func (p *process) failure(err error) error {
	if p.Ended() {
		err = fmt.Errorf("%s ended: %w", p.name, cmp.Or(p.Wait(), errors.New("exit status 0")))
	}
	return fmt.Errorf("%w; the end of %s:\n%s", err, p.log, p.tail())
}

// tail is the end of the log.
func (p *process) tail() string {
	f, err := os.Open(p.log)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	const size = 4 << 10
	if info, err := f.Stat(); err == nil && info.Size() > size {
		_, _ = f.Seek(-size, io.SeekEnd)
	}
	content, _ := io.ReadAll(f)
	return string(content)
}
