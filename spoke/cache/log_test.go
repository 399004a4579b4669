package cache_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"flotilla.dev/flotilla/spoke/cache"
)

const log = "changes"

// entries are those of the log, as they were appended: numbers.
func entries(c *cache.Cache) (all []string) {
	for _, entry := range c.Entries(log) {
		all = append(all, string(entry))
	}
	return all
}

// logged appends numbers to a log that it begins, and closes the cache, as at a crash: nothing is written then.
func logged(t *testing.T, dir string, numbers ...int) {
	t.Helper()
	c := open(t, dir, 0)
	for i, n := range numbers {
		if !c.Append(log, n, i == 0) {
			t.Fatalf("%d is not kept", n)
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestLogHasItsEntriesAfterARestartAndBeginsAnew(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if got := entries(open(t, filepath.Join(dir, "none"), 0)); got != nil {
		t.Errorf("no log has %v", got)
	}
	logged(t, dir, 1, 2, 3)
	c := open(t, dir, 0)
	if got := entries(c); !slices.Equal(got, []string{"1", "2", "3"}) {
		t.Errorf("after a restart it has %v", got)
	}
	if c.Append(log, 4, false) {
		t.Error("a log of before the start was extended: its last line may be cut off")
	}
	if got := entries(c); len(got) != 3 {
		t.Errorf("after what was not appended it has %v", got)
	}
	for range 2 {
		if !c.Append(log, 5, true) || !c.Append(log, 6, false) {
			t.Error("it does not begin anew")
		}
		if got := entries(c); !slices.Equal(got, []string{"5", "6"}) {
			t.Errorf("begun anew it has %v", got)
		}
	}
}

func TestLogThatIsCutOffHasWhatIsWhole(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	logged(t, dir, 1, 2, 3)
	path := filepath.Join(dir, log)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for size := range len(whole) + 1 {
		if err := os.WriteFile(path, whole[:size], 0o600); err != nil {
			t.Fatal(err)
		}
		c := open(t, dir, 0)
		want := bytes.Count(whole[:size], []byte("\n"))
		got := entries(c)
		if len(got) != want && (len(got) != want+1 || whole[size] != '\n') {
			t.Errorf("cut to %d bytes it has %v", size, got)
		}
		for i, entry := range got {
			if entry != fmt.Sprint(i+1) {
				t.Errorf("cut to %d bytes it has %v", size, got)
			}
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLogWithAFlippedBitEndsThere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	logged(t, dir, 1, 2, 3)
	path := filepath.Join(dir, log)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	c := open(t, dir, 0)
	for range 300 {
		spoilt := bytes.Clone(whole)
		at := random.IntN(len(spoilt))
		spoilt[at] ^= 1 << random.IntN(8)
		if err := os.WriteFile(path, spoilt, 0o600); err != nil {
			t.Fatal(err)
		}
		got := entries(c)
		if before := bytes.Count(whole[:at], []byte("\n")); len(got) < before || len(got) > before+1 || !slices.Equal(got, []string{"1", "2", "3"}[:len(got)]) {
			t.Errorf("with byte %d flipped it has %v", at, got)
		}
	}
}

func TestLogThatIsNotOnDiskIsNotSaidToBe(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(dir string) error{
		"lost":                os.RemoveAll,
		"replaced":            func(dir string) error { return os.WriteFile(filepath.Join(dir, "x"), nil, 0o600) },
		"a file in its place": func(dir string) error { return errors.Join(os.RemoveAll(dir), os.WriteFile(dir, nil, 0o600)) },
	} {
		dir := filepath.Join(t.TempDir(), "data")
		c := open(t, dir, 0)
		if !c.Append(log, 1, true) {
			t.Fatal("it does not begin")
		}
		err := spoil(dir)
		if name == "replaced" {
			err = errors.Join(err, os.Rename(filepath.Join(dir, "x"), filepath.Join(dir, log)))
		}
		if err != nil {
			t.Fatal(err)
		}
		if c.Append(log, 2, false) {
			t.Errorf("%s: an entry is said to be on disk", name)
		}
		if c.Append(log, 3, false) {
			t.Errorf("%s: what failed was extended", name)
		}
		if kept := c.Append(log, 4, true); kept != (name != "a file in its place") || kept && !slices.Equal(entries(c), []string{"4"}) {
			t.Errorf("%s: begun anew: %t, with %v", name, kept, entries(c))
		}
	}
}
