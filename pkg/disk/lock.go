package disk

import (
	"errors"
	"os"
)

// ErrLocked says that another has the lock.
var ErrLocked = errors.New("it is locked by another")

// Lock is an exclusive lock on a file or directory. The kernel gives it back when the process ends, however it ends.
// Where there are no such locks, outside of Unix, everybody gets one.
type Lock struct{ file *os.File }

// TryLock locks the file at path, made for its owner alone when absent, or fails with ErrLocked.
func TryLock(path string) (*Lock, error) { return lockFile(path, false) }

// AwaitLock locks the file at path, made for its owner alone when absent, once nobody else has it.
func AwaitLock(path string) (*Lock, error) { return lockFile(path, true) }

// TryLockDir locks a directory itself, or fails with ErrLocked.
func TryLockDir(path string) (*Lock, error) {
	dir, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return locked(dir, false)
}

func lockFile(path string, wait bool) (*Lock, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	return locked(file, wait)
}

func locked(file *os.File, wait bool) (*Lock, error) {
	if err := lock(file, wait); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &Lock{file}, nil
}

// IsOf reports whether what is locked is at path now: it may have been removed, and made anew, before it was locked.
func (l *Lock) IsOf(path string) bool {
	mine, err := l.file.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(path)
	return err == nil && os.SameFile(mine, there)
}

// Unlock gives the lock back, also where a child process that is just being started still has the file open.
func (l *Lock) Unlock() error { return errors.Join(unlock(l.file), l.file.Close()) }
