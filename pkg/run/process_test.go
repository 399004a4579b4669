//go:build unix

package run_test

import (
	"errors"
	"os/exec"
	"syscall"
	"testing"

	"flotilla.dev/flotilla/pkg/run"
)

func TestProcessTellsHowItEnded(t *testing.T) {
	t.Parallel()
	if _, err := run.Start(exec.Command("/no/such/program"), syscall.SIGKILL); err == nil {
		t.Error("a program that does not exist was started")
	}
	failed, err := run.Start(exec.Command("sh", "-c", "exit 3"), syscall.SIGKILL)
	if err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := failed.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 3 || !failed.Ended() {
		t.Errorf("it ended with %v", err)
	}

	waiting, err := run.Start(exec.Command("sh", "-c", "read -r line"), syscall.SIGKILL)
	if err != nil {
		t.Fatal(err)
	}
	<-waiting.Done() // its stdin is empty
	if waiting.Wait() == nil {
		t.Error("a command that read nothing ended well")
	}
}

func TestProcessHasAGroupOfItsOwnUnlessOneIsNamed(t *testing.T) {
	t.Parallel()
	first := exec.Command("cat")
	input, err := first.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	leader, err := run.Start(first, syscall.SIGKILL)
	if err != nil {
		t.Fatal(err)
	}
	second := exec.Command("sleep", "600")
	second.SysProcAttr = &syscall.SysProcAttr{Pgid: leader.PID()}
	member, err := run.Start(second, syscall.SIGKILL)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []*run.Process{leader, member} {
		if group, err := syscall.Getpgid(p.PID()); err != nil || group != leader.PID() {
			t.Errorf("process %d is in group %d, %v; want %d", p.PID(), group, err, leader.PID())
		}
	}
	if err := input.Close(); err != nil || leader.Wait() != nil {
		t.Errorf("the leader did not end: %v", err)
	}
	if err := syscall.Kill(-leader.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if member.Wait() == nil {
		t.Error("a killed member ended well")
	}
}
