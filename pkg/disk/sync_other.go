//go:build !unix

package disk

// syncDir does nothing where a directory cannot be synced by itself.
func syncDir(string) error { return nil }
