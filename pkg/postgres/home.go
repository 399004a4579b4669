//go:build unix

package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"flotilla.dev/flotilla/pkg/disk"
)

// home is a server's directory while this process holds its lock:
//
//	data/      the database cluster
//	data.new/  one that initdb has not finished
//	password   of User, 0600
//	lock       flocked by the owner
type home struct {
	dir     string
	lock    *disk.Lock
	account *syscall.Credential // nil: Postgres runs as this process's own user
	handle  *os.File            // the open directory, when Postgres cannot walk to it by its path
}

// openHome makes the directory when absent and takes its lock.
func openHome(dir string) (*home, error) {
	if dir == "" {
		return nil, errors.New("no directory given")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	h := &home{dir: dir}
	if os.Geteuid() == 0 {
		if h.account, err = findAccount(); err != nil {
			return nil, err
		}
		if err := h.give(dir); err != nil {
			return nil, err
		}
		// The account may not pass the directories above, which are root's own. An open directory needs no walk.
		if runtime.GOOS == "linux" {
			if h.handle, err = os.Open(dir); err != nil {
				return nil, err
			}
		}
	}
	if h.lock, err = disk.TryLock(filepath.Join(dir, "lock")); errors.Is(err, disk.ErrLocked) {
		err = errors.New("another process runs a server there")
	}
	if err != nil {
		return nil, errors.Join(err, h.close())
	}
	return h, nil
}

// findAccount returns whom root runs Postgres as.
func findAccount() (*syscall.Credential, error) {
	for _, name := range []string{"postgres", "nobody"} {
		account, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(account.Uid, 10, 32)
		if err != nil {
			continue
		}
		gid, err := strconv.ParseUint(account.Gid, 10, 32)
		if err != nil {
			continue
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, errors.New("postgres refuses to run as root, and there is no account postgres or nobody to run it as")
}

func (h *home) close() error {
	var errs []error
	if h.lock != nil {
		errs = append(errs, h.lock.Unlock())
	}
	if h.handle != nil {
		errs = append(errs, h.handle.Close())
	}
	h.lock, h.handle = nil, nil
	return errors.Join(errs...)
}

// give makes Postgres's account own a file.
func (h *home) give(file string) error {
	if h.account == nil {
		return nil
	}
	return os.Chown(file, int(h.account.Uid), int(h.account.Gid))
}

// path names a file of the directory as the server's processes reach it.
func (h *home) path(name string) string {
	if h.handle != nil {
		return filepath.Join("/proc/self/fd/3", name)
	}
	return filepath.Join(h.dir, name)
}

// start runs a Postgres program. Its open directory, if any, is descriptor 3, as path says.
func (h *home) start(program string, args []string, output io.Writer) (*process, error) {
	cmd := exec.Command(program, args...)
	cmd.Dir = "/" // where its account may certainly be
	// Nothing of the owner's environment: PGDATA, PGPORT and the like would change what runs.
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
	cmd.Stdout, cmd.Stderr = output, output
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: h.account}
	if h.handle != nil {
		cmd.ExtraFiles = []*os.File{h.handle}
	}
	return startProcess(cmd)
}

// mark is a setting that does nothing but show in the server's command line whose it is.
func (h *home) mark() string { return "flotilla.directory=" + h.dir }

// lockFile is Postgres's own postmaster.pid, line by line; nil when absent.
func (h *home) lockFile() []string {
	content, err := os.ReadFile(filepath.Join(h.dir, "data", "postmaster.pid"))
	if err != nil {
		return nil
	}
	return strings.Split(string(content), "\n")
}

// awaitReady waits for the process to report itself ready, which it does on the eighth line of its lock file.
func (h *home) awaitReady(ctx context.Context, p *process) error {
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		lines := h.lockFile()
		if len(lines) > 7 && lines[0] == strconv.Itoa(p.PID()) && strings.TrimSpace(lines[7]) == "ready" {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w", context.Cause(ctx))
		case <-p.Done():
			return fmt.Errorf("ended while starting: %w", p.exit())
		case <-ticker.C:
		}
	}
}
