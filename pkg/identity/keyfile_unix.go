//go:build unix

package identity

import (
	"io/fs"
	"os"
	"syscall"
)

// ownFile reports whether this process' user owns the file.
func ownFile(info fs.FileInfo) bool {
	stat, known := info.Sys().(*syscall.Stat_t)
	return !known || int(stat.Uid) == os.Geteuid()
}
