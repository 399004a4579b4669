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
		if err := BuildBinaries(ctx, w.dir, nil); err != nil {
			return nil, errors.Join(err, w.remove())
		}
		return &binaries{w}, nil
	}).workspace.dir
}

var sharedBinaries share[*binaries]

// binaries last as long as the tests that share them.
type binaries struct{ workspace *workspace }

func (b *binaries) Stop() error { return b.workspace.remove() }
