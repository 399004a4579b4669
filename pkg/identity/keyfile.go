package identity

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"flotilla.dev/flotilla/pkg/disk"
	"flotilla.dev/flotilla/pkg/fleet"
)

// LoadKey reads the key file: 32 raw bytes. It is refused when anyone but its owner may read or write it; only a file
// of another owner, such as a mounted Secret, may be readable by the group. An absent file is a fleet.ErrNotFound.
func LoadKey(path string) (Root, error) {
	root, err := loadKey(path)
	if err != nil {
		return Root{}, fmt.Errorf("load key file %s: %w", path, err)
	}
	return root, nil
}

func loadKey(path string) (Root, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Root{}, fleet.ErrNotFound
	case err != nil:
		return Root{}, err
	}
	forbidden := fs.FileMode(0o077)
	if !ownFile(info) {
		forbidden = 0o037
	}
	if mode := info.Mode().Perm(); mode&forbidden != 0 {
		return Root{}, fmt.Errorf("%w: its permissions are %04o, others than its owner may use it; `chmod 600` it", fleet.ErrDenied, mode)
	}
	secret, err := os.ReadFile(path)
	if err != nil {
		return Root{}, err
	}
	return newRoot(secret)
}

// CreateKey makes a key file with a new random key, 0600, and returns its Root. A file that is there is never
// touched: fleet.ErrExists. When it returns, the key is on disk to stay.
func CreateKey(path string) (Root, error) {
	root, err := createKey(path)
	if err != nil {
		return Root{}, fmt.Errorf("create key file %s: %w", path, err)
	}
	return root, nil
}

func createKey(path string) (Root, error) {
	secret := NewKey()
	root, err := newRoot(secret)
	if err != nil {
		return Root{}, err
	}
	if err := disk.Create(path, secret, 0o600); errors.Is(err, fs.ErrExist) {
		return Root{}, fleet.ErrExists
	} else if err != nil {
		return Root{}, err
	}
	return root, nil
}
