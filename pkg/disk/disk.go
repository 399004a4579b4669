// Package disk puts files in place whole and to stay: a crash leaves the file of before or the new one, never a part.
package disk

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Replace puts a file at path, with that mode whatever the one before had. When it returns nil, it is on disk to stay.
func Replace(path string, data []byte, mode fs.FileMode) error {
	next, err := prepare(path, data, mode)
	if err != nil {
		return err
	}
	if err := os.Rename(next, path); err != nil {
		return errors.Join(err, os.Remove(next))
	}
	return syncDir(filepath.Dir(path))
}

// Create puts a file at path as Replace does, if there is none: one that is there is not touched, fs.ErrExist.
func Create(path string, data []byte, mode fs.FileMode) error {
	next, err := prepare(path, data, mode)
	if err != nil {
		return err
	}
	// Two names for a moment, since a rename does not stop at a file that is there.
	if err := errors.Join(os.Link(next, path), os.Remove(next)); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// prepare writes a file beside path, on disk to stay, and returns its name.
func prepare(path string, data []byte, mode fs.FileMode) (string, error) {
	next, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // for its owner alone
	if err != nil {
		return "", err
	}
	_, err = next.Write(data)
	if err = errors.Join(err, next.Chmod(mode), next.Sync(), next.Close()); err != nil {
		return "", errors.Join(err, os.Remove(next.Name()))
	}
	return next.Name(), nil
}
