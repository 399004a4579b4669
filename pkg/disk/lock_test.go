//go:build unix

package disk_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"flotilla.dev/flotilla/pkg/disk"
)

func TestLockIsOnesUntilItIsGivenBack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "lock")
	for name, take := range map[string]func() (*disk.Lock, error){
		"file":      func() (*disk.Lock, error) { return disk.TryLock(file) },
		"directory": func() (*disk.Lock, error) { return disk.TryLockDir(dir) },
	} {
		first, err := take()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := take(); !errors.Is(err, disk.ErrLocked) {
			t.Errorf("%s, taken twice: %v", name, err)
		}
		if err := first.Unlock(); err != nil {
			t.Error(err)
		}
		second, err := take()
		if err != nil {
			t.Fatalf("%s, given back: %v", name, err)
		}
		if err := second.Unlock(); err != nil {
			t.Error(err)
		}
	}
}

func TestAwaitedLockComesWhenItIsGivenBack(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	first, err := disk.TryLock(path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		second, err := disk.AwaitLock(path)
		done <- errors.Join(err, second.Unlock())
	}()
	if err := first.Unlock(); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A process has its parent's files until it runs its own program, and may be just starting anywhere.
func TestLockIsGivenBackThoughAChildHasTheFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	lock, err := disk.TryLock(path)
	if err != nil {
		t.Fatal(err)
	}
	child, err := lock.Dup()
	if err != nil {
		t.Fatal(err)
	}
	defer child.Close()
	if err := lock.Unlock(); err != nil {
		t.Error(err)
	}
	if _, err := disk.TryLock(path); err != nil {
		t.Error(err)
	}
}

func TestLockTellsWhetherItsPathIsAnothers(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "dir")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	lock, err := disk.TryLockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !lock.IsOf(dir) {
		t.Error("it is not of its path")
	}
	if err := os.Remove(dir); err != nil || lock.IsOf(dir) {
		t.Errorf("it is of a path that is gone, %v", err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil || lock.IsOf(dir) {
		t.Errorf("it is of another directory, %v", err)
	}
}
