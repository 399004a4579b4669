package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The programs that BuildBinaries makes, by the names that users run them by.
const (
	hubBinary      = "flotilla-hub"
	spokeBinary    = "flotilla-spoke"
	helmBinary     = "flotilla-helm" // which the spoke finds beside itself
	fleetctlBinary = "fleetctl"
)

// BuildBinaries builds flotilla-hub, flotilla-spoke, flotilla-helm and fleetctl from the source as it is now into a
// directory, made when absent. Lines about a long build go to progress; nil drops them.
func BuildBinaries(ctx context.Context, dir string, progress io.Writer) error {
	root, err := ModuleRoot()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	stop := report(progress, fmt.Sprintf("building %s, %s, %s and %s", hubBinary, spokeBinary, helmBinary, fleetctlBinary))
	defer stop()
	// The tag is that of make build, which says why.
	build := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-tags", "kustomize_disable_go_plugin_support", "-o", dir+string(filepath.Separator),
		"./hub/cmd/"+hubBinary, "./spoke/cmd/"+spokeBinary, "./spoke/cmd/"+helmBinary, "./hub/cmd/"+fleetctlBinary)
	build.Dir = root
	if output, err := runBuild(build); err != nil {
		return fmt.Errorf("build Flotilla: %w\n%s", errors.Join(context.Cause(ctx), err), output)
	}
	return nil
}

// TestBinaries is the directory of the binaries that the tests of this process share.
func TestBinaries(t testing.TB) (dir string) {
	t.Helper()
	return sharedBinaries.get(t, func(ctx context.Context) (*binaries, error) {
		w, err := newWorkspace()
		if err != nil {
			return nil, err
		}
		if err := copyBuilt(ctx, w.dir); err != nil {
			return nil, errors.Join(err, w.remove())
		}
		return &binaries{w}, nil
	}).workspace.dir
}

// copyBuilt has the binaries in a directory. They are built in one that stays, where go build links what has changed
// alone: test processes, of which several need them, copy what the first of them built.
func copyBuilt(ctx context.Context, dir string) error {
	root, err := ModuleRoot()
	if err != nil {
		return err
	}
	built := filepath.Join(root, "bin", "test")
	if err := os.MkdirAll(built, 0o755); err != nil {
		return err
	}
	lock, err := awaitLock(ctx, built+".lock")
	if err != nil {
		return err
	}
	defer lock.Unlock()
	if err := BuildBinaries(ctx, built, nil); err != nil {
		return err
	}
	// By another process: one that is forked here meanwhile would have a file open that was being written, and which can
	// not be run while anybody has.
	var files []string
	for _, name := range []string{hubBinary, spokeBinary, helmBinary, fleetctlBinary} {
		files = append(files, filepath.Join(built, name))
	}
	if output, err := exec.CommandContext(ctx, "cp", append(files, dir)...).CombinedOutput(); err != nil {
		return fmt.Errorf("copy Flotilla's binaries: %w\n%s", err, output)
	}
	return nil
}

var sharedBinaries share[*binaries]

// binaries last as long as the tests that share them.
type binaries struct{ workspace *workspace }

func (b *binaries) Stop() error { return b.workspace.remove() }
