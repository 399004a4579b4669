package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fill makes a directory with empty files of these names.
func fill(t *testing.T, names ...string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, entry := range entries {
		all = append(all, entry.Name())
	}
	return strings.Join(all, " ")
}

func TestOnlyWhatADemoHasMadeIsEmptied(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		content   []string
		isDefault bool
		refused   string // the entry that the refusal names
	}{
		{"empty", nil, false, ""},
		{"a checkout", []string{"go.mod", "log"}, false, "go.mod"},
		{"an earlier demo's", []string{marker, "log", "anything"}, false, ""},
		{"like an older demo's, elsewhere", []string{"log", "hub.pid"}, false, "hub.pid"},
		{"an older demo's", []string{"log", "hub.pid", "ready.new"}, true, ""},
		{"an older demo's with notes", []string{"log", "notes.txt"}, true, "notes.txt"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := fill(t, c.content...)
			before := names(t, dir)
			p, err := takePlace(dir, c.isDefault)
			if c.refused != "" {
				if err == nil || !strings.Contains(err.Error(), dir+" holds "+c.refused) || !strings.Contains(err.Error(), "--dir") {
					t.Errorf("not refused: %v", err)
				}
				if after := names(t, dir); after != before {
					t.Errorf("of %q there is left %q", before, after)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := names(t, dir); got != marker+" pid" {
				t.Errorf("the directory holds %q", got)
			}
			p.release()
			if _, err := os.Stat(dir); !os.IsNotExist(err) {
				t.Errorf("the directory is still there: %v", err)
			}
		})
	}
}

func TestKeptPlaceIsTheNextDemos(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "demo")
	first, err := takePlace(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(first.file("hub.pid"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(first.file("log"), 0o700); err != nil {
		t.Fatal(err)
	}
	first.keep()
	first.release()
	if got := names(t, dir); got != marker+" log" {
		t.Errorf("kept is %q", got)
	}
	second, err := takePlace(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	second.release()
}

func TestDemoOfAnotherUserIsCleanedUpByWhoMay(t *testing.T) {
	t.Parallel()
	refused := &fs.PathError{Op: "unlinkat", Path: "/x/a demo/log", Err: fs.ErrPermission}
	err := cleanUpError("/x/a demo", fmt.Errorf("remove: %w", refused))
	if !strings.Contains(err.Error(), "sudo rm -rf '/x/a demo'") {
		t.Errorf("no way out in %v", err)
	}
}
