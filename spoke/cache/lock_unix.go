//go:build unix

package cache

import (
	"errors"
	"os"
	"syscall"

	"flotilla.dev/flotilla/pkg/fleet"
)

// lockFile takes a lock that the kernel gives back when the process ends, however it ends.
func lockFile(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = fleet.ErrConflict
		}
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}
