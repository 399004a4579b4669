package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"flotilla.dev/flotilla/pkg/disk"
)

// place is the demo's directory, held by one demo at a time. The lock is on the directory itself, so that it goes with
// the process, however that ends.
type place struct {
	dir  string
	lock *disk.Lock
	kept bool
}

// marker is a file that says that the directory is a demo's, for the next one to empty.
const marker = ".flotilla-demo"

// madeByDemos is all that a demo of an older version, which left no marker, made in the checkout's .demo.
var madeByDemos = []string{
	"bin", "clusters", "env", "fleet.yaml", "fleetctl", "git", "hub", "hub.pid", "log", "pid", "ready", "repo", "spokes",
}

// takePlace makes the directory, and empties it of what a demo left that did not get to do so. What no demo has made is
// refused; isDefault says that the directory is the checkout's .demo.
func takePlace(dir string, isDefault bool) (*place, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	for {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
		lock, err := disk.TryLockDir(dir)
		if errors.Is(err, os.ErrNotExist) {
			continue // another demo removed it just now
		}
		if err != nil {
			return nil, refusal(dir, err)
		}
		if !lock.IsOf(dir) {
			_ = lock.Unlock()
			continue
		}
		p := &place{dir: dir, lock: lock}
		if err := p.furnish(isDefault); err != nil {
			_ = lock.Unlock()
			return nil, err
		}
		return p, nil
	}
}

// furnish leaves nothing in the directory but the marker and the process id.
func (p *place) furnish(isDefault bool) error {
	if err := p.checkOwn(isDefault); err != nil {
		return err
	}
	err := os.WriteFile(p.file(marker), []byte("The demo of Flotilla made this directory; the next one there empties it.\n"), 0o644)
	if err == nil {
		err = p.empty()
	}
	if err == nil {
		err = os.WriteFile(p.file("pid"), []byte(strconv.Itoa(os.Getpid())+"\n"), 0o644)
	}
	if err != nil {
		return cleanUpError(p.dir, err)
	}
	return nil
}

// cleanUpError names the way out where there is one.
func cleanUpError(dir string, err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("clean up after an earlier demo, which another user ran: %w; remove it with: sudo rm -rf %s", err, quote(dir))
	}
	return fmt.Errorf("clean up after an earlier demo: %w", err)
}

// checkOwn refuses a directory with something in it that no demo has made.
func (p *place) checkOwn(isDefault bool) error {
	entries, err := os.ReadDir(p.dir)
	if err != nil || len(entries) == 0 {
		return err
	}
	if _, err := os.Lstat(p.file(marker)); err == nil {
		return nil
	}
	for _, entry := range entries {
		if !isDefault || !slices.Contains(madeByDemos, strings.TrimSuffix(entry.Name(), ".new")) {
			return fmt.Errorf("%s holds %s, which no demo has made, and a demo empties its directory: name an empty or a new one with --dir", p.dir, entry.Name())
		}
	}
	return nil
}

func refusal(dir string, err error) error {
	if !errors.Is(err, disk.ErrLocked) {
		return fmt.Errorf("lock %s: %w", dir, err)
	}
	who := "another process"
	if pid, err := os.ReadFile(filepath.Join(dir, "pid")); err == nil {
		who = "process " + strings.TrimSpace(string(pid))
	}
	return fmt.Errorf("a demo runs in %s already (%s): end it with Ctrl-C where it was started", dir, who)
}

// empty removes the content. The parts of a killed demo may take a moment to end, and write until then.
func (p *place) empty() error {
	var err error
	for range 50 {
		if err = p.removeContent(); err == nil || errors.Is(err, fs.ErrPermission) {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
	return err
}

// removeContent leaves the marker, so that what is left of the directory is always known for a demo's.
func (p *place) removeContent() error {
	entries, err := os.ReadDir(p.dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.Name() == marker {
			continue
		}
		if err := os.RemoveAll(p.file(entry.Name())); err != nil {
			return err
		}
	}
	return nil
}

// keep has release leave the directory for a look at the logs. The next demo empties it.
func (p *place) keep() { p.kept = true }

// release removes the directory, or at least what says that a demo is there, and lets the next demo in.
func (p *place) release() {
	if p.kept {
		for _, name := range []string{"ready", "pid", "hub.pid"} {
			_ = os.Remove(p.file(name))
		}
	} else if p.removeContent() == nil {
		_ = os.RemoveAll(p.dir)
	}
	_ = p.lock.Unlock()
}

func (p *place) file(name string) string { return filepath.Join(p.dir, name) }
