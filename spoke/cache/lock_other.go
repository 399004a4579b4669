//go:build !unix

package cache

import "os"

// lockFile only opens the file: here the Lease alone keeps a second spoke from acting.
func lockFile(path string) (*os.File, error) { return os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) }
