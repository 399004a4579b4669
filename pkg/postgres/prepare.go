//go:build unix

package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// prepare brings the directory to where a server can be started on it: no orphan running, data present, password and
// binaries known.
func (s *Server) prepare(ctx context.Context) error {
	if err := s.home.endOrphan(ctx); err != nil {
		return err
	}
	version, err := os.ReadFile(filepath.Join(s.home.dir, "data", "PG_VERSION"))
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	if s.bin = s.config.BinDir; s.bin == "" {
		if s.bin, err = find(strings.TrimSpace(string(version))); err != nil {
			return err
		}
	}
	if s.password, err = loadPassword(s.home); err != nil {
		return err
	}
	if version == nil {
		return s.initialise(ctx)
	}
	return nil
}

// initialise runs initdb beside the place and moves the result there, so that a half-made cluster is never started.
func (s *Server) initialise(ctx context.Context) error {
	fresh := filepath.Join(s.home.dir, "data.new")
	if err := os.RemoveAll(fresh); err != nil {
		return err
	}
	args := []string{
		"--pgdata", s.home.path("data.new"), "--pwfile", s.home.path("password"), "--username", User,
		"--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-instructions",
	}
	if s.config.NoFsync {
		args = append(args, "--no-sync")
	} else {
		args = append(args, "--data-checksums")
	}
	tail := &tail{}
	p, err := s.home.start(filepath.Join(s.bin, "initdb"), args, tail)
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		p.stop(syscall.SIGKILL)
		return fmt.Errorf("initdb: %w", context.Cause(ctx))
	case <-p.Done():
	}
	if err := p.exit(); err != nil {
		return fmt.Errorf("initdb: %w; it said:\n%s", err, tail)
	}
	return os.Rename(fresh, filepath.Join(s.home.dir, "data"))
}

// endOrphan stops the server of an owner that died without stopping it. We hold the directory's lock, so no living
// owner has one.
func (h *home) endOrphan(ctx context.Context) error {
	lines := h.lockFile()
	if lines == nil {
		return nil
	}
	pid, err := strconv.Atoi(strings.TrimSpace(lines[0]))
	if err != nil || pid <= 1 {
		return nil // Postgres says what is wrong with the file
	}
	if !h.runs(pid) {
		// The number went to another process, a common thing in containers, and Postgres would believe it is its own.
		return removeIfPresent(filepath.Join(h.dir, "data", "postmaster.pid"))
	}
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	// Fast shutdown, which its owner's death has asked for already; after a while the harder kinds.
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGKILL} {
		if err := syscall.Kill(pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("end the server left running as process %d: %w", pid, err)
		}
		patience := time.NewTimer(15 * time.Second)
		for waiting := true; waiting; {
			if !h.runs(pid) {
				patience.Stop()
				return nil
			}
			select {
			case <-ctx.Done():
				patience.Stop()
				return fmt.Errorf("end the server left running as process %d: %w", pid, context.Cause(ctx))
			case <-patience.C:
				waiting = false
			case <-ticker.C:
			}
		}
	}
	return fmt.Errorf("the server left running as process %d does not end", pid)
}

// runs tells whether a process is this directory's server.
func (h *home) runs(pid int) bool {
	return strings.Contains(commandLine(pid), h.mark())
}

func removeIfPresent(file string) error {
	if err := os.Remove(file); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}
