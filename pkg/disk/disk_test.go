package disk_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"flotilla.dev/flotilla/pkg/disk"
)

// wantFile checks a file, and that it is the only one in its directory.
func wantFile(t *testing.T, path, content string, mode fs.FileMode) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil || string(data) != content {
		t.Errorf("it holds %q, %v, want %q", data, err, content)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != mode {
		t.Errorf("its mode is %v, %v, want %v", info.Mode(), err, mode)
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("the directory has %v, %v", entries, err)
	}
}

func TestReplacedFileHasItsOwnContentAndMode(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "token")
	for _, mode := range []fs.FileMode{0o644, 0o600, 0o666} { // the last is more than a usual umask leaves
		content := mode.String()
		if err := disk.Replace(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		wantFile(t, path, content, mode)
	}
}

func TestFileThatCannotBeReplacedLeavesNothingBeside(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "token")
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := disk.Replace(path, nil, 0o600); err == nil {
		t.Error("a directory was replaced")
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("the directory has %v, %v", entries, err)
	}
	if err := disk.Replace(filepath.Join(path, "no", "token"), nil, 0o600); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in no directory: %v", err)
	}
}

func TestPreparedFileChangesNothingUntilItIsCommitted(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "token")
	if err := disk.Replace(path, []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, commit := range []bool{false, true} {
		next, err := disk.Prepare(path, []byte("after"), 0o644)
		if err != nil {
			t.Fatal(err)
		}
		if data, err := os.ReadFile(path); err != nil || string(data) != "before" {
			t.Errorf("before the commit it holds %q, %v", data, err)
		}
		if commit {
			if err := next.Commit(); err != nil {
				t.Fatal(err)
			}
		}
		next.Discard()
	}
	wantFile(t, path, "after", 0o644)
}

func TestFileIsCreatedOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "hub.key")
	if err := disk.Create(path, []byte("first"), 0o600); err != nil {
		t.Fatal(err)
	}
	wantFile(t, path, "first", 0o600)
	if err := disk.Create(path, []byte("second"), 0o644); !errors.Is(err, fs.ErrExist) {
		t.Errorf("error %v, want %v", err, fs.ErrExist)
	}
	wantFile(t, path, "first", 0o600)
}
