// Package disk puts files in place whole and to stay: a crash leaves the file of before or the new one, never a part. And
// it locks them.
package disk

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Replace puts a file at path, with that mode whatever the one before had. When it returns nil, it is on disk to stay.
func Replace(path string, data []byte, mode fs.FileMode) error {
	next, err := Prepare(path, data, mode)
	if err != nil {
		return err
	}
	if err := next.Commit(); err != nil {
		next.Discard()
		return err
	}
	return nil
}

// Create puts a file at path as Replace does, if there is none: one that is there is not touched, fs.ErrExist.
func Create(path string, data []byte, mode fs.FileMode) error {
	next, err := Prepare(path, data, mode)
	if err != nil {
		return err
	}
	defer next.Discard()
	if err := os.Link(next.Beside, path); err != nil { // a rename would not stop at a file that is there
		return err
	}
	return syncDir(filepath.Dir(path))
}

// Next is a file that is to be put at a path.
type Next struct {
	path string
	// Beside is where the file is until then, in the same directory.
	Beside string
}

// Prepare writes a file beside path, on disk to stay: what can go wrong goes wrong now, as far as can be. Either Commit
// or Discard it.
func Prepare(path string, data []byte, mode fs.FileMode) (*Next, error) {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // for its owner alone
	if err != nil {
		return nil, err
	}
	next := &Next{path: path, Beside: file.Name()}
	_, err = file.Write(data)
	if err = errors.Join(err, file.Chmod(mode), file.Sync(), file.Close()); err != nil {
		next.Discard()
		return nil, err
	}
	return next, nil
}

// Commit puts the file in place. One that cannot be put there stays beside.
func (n *Next) Commit() error {
	if err := os.Rename(n.Beside, n.path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(n.path))
}

// Discard removes the file, if it is beside.
func (n *Next) Discard() { _ = os.Remove(n.Beside) }
