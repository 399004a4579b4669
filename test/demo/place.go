package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// place is the demo's directory, held by one demo at a time. The lock is on the directory itself, so that it goes with
// the process, however that ends.
type place struct {
	dir  string
	lock *os.File
	kept bool
}

// takePlace makes the directory, and empties it of what a demo left that did not get to do so.
func takePlace(dir string) (*place, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	for {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
		lock, err := os.Open(dir)
		if errors.Is(err, os.ErrNotExist) {
			continue // another demo removed it just now
		}
		if err != nil {
			return nil, err
		}
		if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
			_ = lock.Close()
			return nil, refusal(dir, err)
		}
		if !stillThere(lock, dir) {
			_ = lock.Close()
			continue
		}
		p := &place{dir: dir, lock: lock}
		if err := p.empty(); err != nil {
			_ = lock.Close()
			return nil, err
		}
		return p, os.WriteFile(p.file("pid"), []byte(strconv.Itoa(os.Getpid())+"\n"), 0o644)
	}
}

func refusal(dir string, err error) error {
	if !errors.Is(err, syscall.EWOULDBLOCK) {
		return fmt.Errorf("lock %s: %w", dir, err)
	}
	who := "another process"
	if pid, err := os.ReadFile(filepath.Join(dir, "pid")); err == nil {
		who = "process " + strings.TrimSpace(string(pid))
	}
	return fmt.Errorf("a demo runs in %s already (%s): end it with Ctrl-C where it was started", dir, who)
}

// stillThere tells whether the path still names the directory that is locked.
func stillThere(lock *os.File, dir string) bool {
	locked, err := lock.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(dir)
	return err == nil && os.SameFile(locked, named)
}

// empty removes the content. The parts of a killed demo may take a moment to end, and write until then.
func (p *place) empty() error {
	var err error
	for range 50 {
		if err = p.removeContent(); err == nil {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return fmt.Errorf("clean up after an earlier demo: %w", err)
}

func (p *place) removeContent() error {
	entries, err := os.ReadDir(p.dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
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
	} else {
		_ = os.RemoveAll(p.dir)
	}
	_ = p.lock.Close()
}

func (p *place) file(name string) string { return filepath.Join(p.dir, name) }
