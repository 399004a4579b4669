// Package lab starts the real parts that Flotilla works with, on loopback, for tests, benchmarks and the demo: Kubernetes
// clusters, Postgres, the servers that sources come from (Git, OCI registries, S3, Helm repositories) and a podlet that
// makes workloads run or fail.
//
// Nothing is left behind: every process started here dies with the one that started it, on Linux even by SIGKILL, and
// directories of dead processes are swept by the next one. A part that is missing is an error, never a reason to skip.
//
// Tests that only need "a database" or "a cluster" take a share of the test process's own, TestDatabase and
// TestCluster; a package that uses them has a TestMain that calls Main.
package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"flotilla.dev/flotilla/pkg/disk"
)

// errNoModule is returned where the working directory is not inside Flotilla's source.
var errNoModule = errors.New("not inside the source of flotilla.dev/flotilla")

// ModuleRoot is the directory of Flotilla's go.mod, found upwards from the working directory.
func ModuleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		content, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(content), "module flotilla.dev/flotilla\n") {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errNoModule
		}
		dir = parent
	}
}

// workspace is a temporary directory that lives as long as this process: a lock in it tells the living from the dead.
type workspace struct {
	dir  string
	lock *disk.Lock
}

// newWorkspace makes one, and removes those whose process died without doing so.
func newWorkspace() (*workspace, error) { return newWorkspaceIn(os.TempDir()) }

// newWorkspaceInMemory is newWorkspace, in memory where that has room.
func newWorkspaceInMemory() (*workspace, error) {
	if hasRoom(memory) {
		return newWorkspaceIn(memory)
	}
	return newWorkspace()
}

const (
	// memory is where Linux has a file system that is in memory alone.
	memory = "/dev/shm"
	// roomInMemory is what there has to be of it. Those of hub/store's tests, which have most, take 110 MiB, and several
	// packages are tested at a time.
	roomInMemory = 2 << 30
)

// hasRoom is false for what is not there. A container has 64 MiB, unless it is given more.
func hasRoom(dir string) bool {
	var info syscall.Statfs_t
	return syscall.Statfs(dir, &info) == nil && uint64(info.Bavail)*uint64(info.Bsize) >= roomInMemory
}

func newWorkspaceIn(place string) (*workspace, error) {
	if err := os.MkdirAll(workspaces(place), 0o700); err != nil {
		return nil, err
	}
	for _, each := range []string{os.TempDir(), memory} {
		if _, err := os.Stat(workspaces(each)); err != nil {
			continue // nobody has been there
		}
		if err := sweep(workspaces(each)); err != nil {
			return nil, err
		}
	}
	// Under one lock, since a workspace without its own lock yet looks dead.
	gate, err := disk.AwaitLock(filepath.Join(workspaces(place), "lock"))
	if err != nil {
		return nil, err
	}
	defer gate.Unlock()
	dir, err := os.MkdirTemp(workspaces(place), "")
	if err != nil {
		return nil, err
	}
	lock, err := disk.AwaitLock(filepath.Join(dir, "lock"))
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return &workspace{dir: dir, lock: lock}, nil
}

// workspaces is the directory of all that are in a place.
func workspaces(place string) string {
	return filepath.Join(place, fmt.Sprintf("flotilla-lab-%d", os.Getuid()))
}

// sweep removes what it can; the rest is the next process's to try.
func sweep(all string) error {
	gate, err := disk.AwaitLock(filepath.Join(all, "lock"))
	if err != nil {
		return err
	}
	defer gate.Unlock()
	entries, _ := os.ReadDir(all)
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		dir := filepath.Join(all, entry.Name())
		lock, err := disk.TryLock(filepath.Join(dir, "lock"))
		if err != nil {
			continue // alive
		}
		_ = os.RemoveAll(dir)
		_ = lock.Unlock()
	}
	return nil
}

func (w *workspace) remove() error {
	return errors.Join(os.RemoveAll(w.dir), w.lock.Unlock())
}
