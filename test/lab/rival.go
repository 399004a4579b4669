package lab

import (
	"bytes"
	"context"
	"crypto/rand"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// SecondSpoke starts another spoke for the member's cluster, with a volume of its own. It is not for concurrent use.
func (m *Member) SecondSpoke(ctx context.Context, f *Fleet) (*Program, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	second := f.spokeProgram(m, "", loopback(port))
	second.name += " (second)"
	second.log = f.file(filepath.Join("log", "spoke-"+m.name+"-second.log"))
	for i, arg := range second.args {
		if arg == "--data-dir" {
			second.args[i+1] += "-second"
		}
	}
	f.rivals = append(f.rivals, second)
	return second, second.Start(ctx)
}

// HubWithAnotherKey runs a hub with a new key file on the fleet's database, which it should refuse, and returns what it
// wrote.
func (f *Fleet) HubWithAnotherKey(ctx context.Context) (output string, err error) {
	dir := f.file("hub-with-another-key")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, "hub.key"), key, 0o600); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(f.config.Binaries, hubBinary), "serve", "--data-dir", dir,
		"--spoke-listen", loopback(0), "--admin-listen", loopback(0), "--http-listen", loopback(0))
	cmd.Env = append(ownEnv(), f.Hub.env...)
	var written bytes.Buffer
	cmd.Stdout, cmd.Stderr = &written, &written
	err = runAndWait(cmd, syscall.SIGKILL)
	return written.String(), err
}

// ReplaceHub kills the hub and starts one with an empty database and a key of its own at the same addresses.
func (f *Fleet) ReplaceHub(ctx context.Context) error {
	url, err := f.Postgres.CreateDatabase(ctx, "other")
	if err != nil {
		return err
	}
	f.Hub.Kill()
	other := f.hubProgram([]string{"FLOTILLA_DATABASE_URL=" + url})
	other.name = "hub (another)"
	for i, arg := range other.args {
		if arg == "--data-dir" {
			other.args[i+1] += "-other"
		}
	}
	f.Hub = other
	return other.Start(ctx)
}
