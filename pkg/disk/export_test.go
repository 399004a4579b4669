//go:build unix

package disk

import (
	"os"
	"syscall"
)

// Dup returns the locked file as a child process has it.
func (l *Lock) Dup() (*os.File, error) {
	fd, err := syscall.Dup(int(l.file.Fd()))
	return os.NewFile(uintptr(fd), l.file.Name()), err
}
