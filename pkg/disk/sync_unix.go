//go:build unix

package disk

import (
	"errors"
	"os"
)

// syncDir has the names in a directory on disk to stay.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
