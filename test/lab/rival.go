package lab

import (
	"bytes"
	"context"
	"crypto/rand"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
)

// SecondSpokeUser is whom SecondSpoke's requests come from, so that Requests tells the two agents apart.
const SecondSpokeUser = "lab:second-spoke"

// SecondSpoke starts another spoke for the member's cluster, with a volume of its own. It is not for concurrent use.
func (m *Member) SecondSpoke(ctx context.Context, f *Fleet) (*Program, error) {
	kubeconfig, err := m.kubeconfigFor(SecondSpokeUser, "system:masters")
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	second := f.spokeProgram(m, loopback(port))
	second.name += " (second)"
	second.log = f.file(filepath.Join("log", "spoke-"+m.name+"-second.log"))
	second.replaceArg("--token", "")
	second.replaceArg("--kubeconfig", kubeconfig)
	second.replaceArg("--data-dir", f.file(filepath.Join("spokes", m.name+"-second")))
	f.rivals = append(f.rivals, second)
	return second, second.Start(ctx)
}

// replaceArg gives a flag of the command line another value.
func (p *Program) replaceArg(flag, value string) {
	p.args[slices.Index(p.args, flag)+1] = value
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
		"--spoke-listen", loopback(0), "--admin-listen", loopback(0), "--hook-listen", loopback(0), "--http-listen", loopback(0))
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
	other.replaceArg("--data-dir", f.file("hub-other"))
	f.Hub = other
	return other.Start(ctx)
}
