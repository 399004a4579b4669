package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Output is what a run of fleetctl came to.
type Output struct {
	Stdout, Stderr string
	// Code is the exit code; -1 when fleetctl did not run or was killed.
	Code int

	args []string
}

// Err is nil when the exit code is 0; else it says what was run and what it said.
func (o Output) Err() error {
	if o.Code == 0 {
		return nil
	}
	said := strings.TrimSpace(o.Stderr + o.Stdout)
	return fmt.Errorf("%s %s: exit code %d: %s", fleetctlBinary, strings.Join(o.args, " "), o.Code, said)
}

// Fleetctl runs fleetctl against the fleet's hub, as from a script: without a terminal, with nothing on stdin.
func (f *Fleet) Fleetctl(ctx context.Context, args ...string) Output {
	return f.FleetctlWith(ctx, "", args...)
}

// FleetctlWith is Fleetctl with something on stdin.
func (f *Fleet) FleetctlWith(ctx context.Context, stdin string, args ...string) Output {
	cmd := exec.CommandContext(ctx, filepath.Join(f.config.Binaries, fleetctlBinary), args...)
	cmd.Env = append(ownEnv(), "FLOTILLA_CONFIG="+f.ConfigFile())
	cmd.Stdin = strings.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	// An interrupt, so that it can say where it stands; later the hard way.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay = 5 * time.Second
	err := runAndWait(cmd, syscall.SIGKILL)
	out := Output{Stdout: stdout.String(), Stderr: stderr.String(), args: args}
	var ended *exec.ExitError
	switch {
	case errors.As(err, &ended):
		out.Code = ended.ExitCode()
	case err != nil:
		out.Code = -1
		out.Stderr += err.Error()
	}
	return out
}

// Apply gives declared objects to the hub: YAML or JSON, several with --- between them.
func (f *Fleet) Apply(ctx context.Context, objects string) error {
	return f.FleetctlWith(ctx, objects, "apply", "-f", "-").Err()
}

// ConfigFile is fleetctl's configuration for this fleet: what FLOTILLA_CONFIG has to name.
func (f *Fleet) ConfigFile() string { return f.file("fleetctl/config.yaml") }
