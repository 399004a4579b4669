//go:build unix

package postgres

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
)

// OldestMajor is the oldest major version that Find accepts.
const OldestMajor = 15

// Find returns the directory of installed Postgres binaries, version OldestMajor or later: those on PATH, else the
// newest where packages put them. The error names the command that installs them.
func Find() (string, error) { return find("") }

// places are globs of directories where packages put the server, which they keep off PATH.
var places = []string{
	"/usr/lib/postgresql/*/bin",          // Debian
	"/usr/pgsql-*/bin",                   // Red Hat, from the Postgres repository
	"/usr/libexec/postgresql*",           // Alpine
	"/opt/homebrew/opt/postgresql@*/bin", // macOS
	"/usr/local/opt/postgresql@*/bin",    // macOS on Intel
	"/Applications/Postgres.app/Contents/Versions/*/bin",
}

// find prefers binaries of the given major version: no other can open data that it wrote.
func find(major string) (string, error) {
	installed := installations()
	if major != "" {
		for _, i := range installed {
			if strconv.Itoa(i.major) == major {
				return i.dir, nil
			}
		}
		return "", fmt.Errorf("the data was written by Postgres %[1]s, which is not installed; "+
			"install it with: apt-get install -y postgresql-%[1]s", major)
	}
	for _, i := range installed {
		if i.major >= OldestMajor {
			return i.dir, nil
		}
	}
	return "", errors.New("no Postgres " + strconv.Itoa(OldestMajor) + " or later on PATH or under /usr/lib/postgresql; " +
		"install it with: apt-get install -y postgresql")
}

type installation struct {
	dir   string
	major int
}

// installations lists PATH's first, then the others, newest first.
func installations() []installation {
	var others []installation
	for _, place := range places {
		dirs, _ := filepath.Glob(place) // the patterns are sound
		for _, dir := range dirs {
			if i, ok := inspect(dir); ok {
				others = append(others, i)
			}
		}
	}
	slices.SortStableFunc(others, func(a, b installation) int { return b.major - a.major })
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			if i, ok := inspect(filepath.Dir(path)); ok {
				return slices.Insert(others, 0, i)
			}
		}
	}
	return others
}

var versionPattern = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

// inspect asks the server binary of a directory for its version.
func inspect(dir string) (installation, bool) {
	output, err := exec.Command(filepath.Join(dir, "postgres"), "--version").Output()
	if err != nil {
		return installation{}, false
	}
	match := versionPattern.FindSubmatch(output)
	if match == nil {
		return installation{}, false
	}
	if _, err := exec.LookPath(filepath.Join(dir, "initdb")); err != nil {
		return installation{}, false
	}
	major, err := strconv.Atoi(string(match[1]))
	return installation{dir: dir, major: major}, err == nil
}
