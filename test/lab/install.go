package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"

	"flotilla.dev/flotilla/pkg/postgres"
)

// EnsurePostgres returns the directory of the installed Postgres binaries. When there are none, root on Debian or Ubuntu
// has them installed with apt-get, without a server of the machine's own; for anybody else the error is the line to run.
func EnsurePostgres(ctx context.Context, progress io.Writer) (bindir string, err error) {
	if bindir, err = FindPostgres(); err == nil {
		return bindir, nil
	}
	if _, lookErr := exec.LookPath("apt-get"); lookErr != nil {
		return "", err
	}
	if os.Geteuid() != 0 {
		return "", fmt.Errorf("no Postgres %d or later is installed, and only root can do it; run: "+
			"sudo apt-get install -y postgresql", postgres.OldestMajor)
	}
	if err := installPostgres(ctx, progress); err != nil {
		return "", fmt.Errorf("install Postgres: %w", err)
	}
	return FindPostgres()
}

// clusterSettings decides whether the package makes and starts a server of the machine's own.
const clusterSettings = "/etc/postgresql-common/createcluster.conf"

func installPostgres(ctx context.Context, progress io.Writer) error {
	stop := report(progress, "installing Postgres with apt-get, first time only")
	defer stop()
	if err := aptGet(ctx, "update"); err != nil {
		return err
	}
	if err := checkCandidate(ctx); err != nil {
		return err
	}
	// It has the settings file that must say no before the server's package comes.
	if err := aptGet(ctx, "install", "postgresql-common"); err != nil {
		return err
	}
	settings, err := os.ReadFile(clusterSettings)
	if err != nil {
		return err
	}
	if err := os.WriteFile(clusterSettings, append(bytes.Clone(settings), "\ncreate_main_cluster = false\n"...), 0o644); err != nil {
		return err
	}
	// What the administrator does with Postgres later is as it would have been.
	defer func() { _ = os.WriteFile(clusterSettings, settings, 0o644) }()
	return aptGet(ctx, "install", "postgresql")
}

// checkCandidate refuses a release of the system whose Postgres is too old, before anything is installed.
func checkCandidate(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, "apt-cache", "policy", "postgresql")
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	output, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("apt-cache policy postgresql: %w", err)
	}
	return judgeCandidate(string(output))
}

var candidatePattern = regexp.MustCompile(`(?m)^\s*Candidate: (\d+)`)

func judgeCandidate(policy string) error {
	match := candidatePattern.FindStringSubmatch(policy)
	if match == nil {
		return errors.New("apt-get knows no package postgresql")
	}
	if major, err := strconv.Atoi(match[1]); err != nil || major < postgres.OldestMajor {
		return fmt.Errorf("this system packages Postgres %s, and Flotilla needs %d or later: install one from the Postgres project's own packages",
			match[1], postgres.OldestMajor)
	}
	return nil
}

func aptGet(ctx context.Context, args ...string) error {
	args = append([]string{"-q", "-o", "DPkg::Lock::Timeout=300", "-y", "--no-install-recommends"}, args...)
	cmd := exec.CommandContext(ctx, "apt-get", args...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	// An interrupt lets it finish the package at hand; killed, it would leave a broken one.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	if err := runAndWait(cmd, syscall.SIGINT); err != nil {
		return fmt.Errorf("apt-get %s: %w\n%s", strings.Join(args, " "), err, said.String())
	}
	return nil
}
