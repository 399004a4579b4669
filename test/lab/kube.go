package lab

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"time"

	"flotilla.dev/flotilla/pkg/disk"
)

// KubeBinary returns the path of the multi-call binary that test/kube is the source of: etcd, kube-apiserver and
// kube-controller-manager. It is built on first use, by one process at a time, into the user's cache directory, under
// a name that holds a hash of the sources and the Go version. While it builds, which takes minutes when Go's build
// cache is cold, a line every few seconds goes to progress; nil drops them.
func KubeBinary(ctx context.Context, progress io.Writer) (string, error) {
	root, err := ModuleRoot()
	if err != nil {
		return "", fmt.Errorf("build the Kubernetes binary: %w", err)
	}
	cache, err := cacheDir()
	if err != nil {
		return "", fmt.Errorf("build the Kubernetes binary: %w", err)
	}
	path, err := buildKube(ctx, filepath.Join(root, "test", "kube"), cache, progress)
	if err != nil {
		return "", fmt.Errorf("build the Kubernetes binary: %w", err)
	}
	return path, nil
}

// buildKube builds the module in source unless the cache has what it gives.
func buildKube(ctx context.Context, source, cache string, progress io.Writer) (string, error) {
	hash, err := hashSource(source)
	if err != nil {
		return "", err
	}
	path := filepath.Join(cache, fmt.Sprintf("kube-%s-%s-%s", hash, runtime.GOOS, runtime.GOARCH))
	if isFile(path) {
		return path, nil
	}

	stop := report(progress, "building the Kubernetes binary, first time only")
	defer stop()
	lock, err := awaitLock(ctx, filepath.Join(cache, "kube.lock"))
	if err != nil {
		return "", err
	}
	defer lock.Unlock()
	if isFile(path) {
		return path, nil
	}
	flags, err := linkerFlags(filepath.Join(source, "go.mod"))
	if err != nil {
		return "", err
	}
	partial := path + ".partial"
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags="+flags, "-o", partial, ".")
	build.Dir = source
	build.Env = append(os.Environ(), "GOWORK=off", "GOOS=", "GOARCH=", "GOFLAGS=")
	if output, err := runBuild(build); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, output)
	}
	return path, os.Rename(partial, path)
}

var kubernetesVersion = regexp.MustCompile(`(?m)^\s*k8s\.io/kubernetes (v(\d+)\.(\d+)\.\S+)`)

// linkerFlags make the binary small, and report the version that go.mod requires instead of a placeholder.
func linkerFlags(goMod string) (string, error) {
	content, err := os.ReadFile(goMod)
	if err != nil {
		return "", err
	}
	match := kubernetesVersion.FindSubmatch(content)
	if match == nil {
		return "", fmt.Errorf("%s requires no k8s.io/kubernetes", goMod)
	}
	const variable = " -X k8s.io/component-base/version."
	return fmt.Sprintf("-s -w%[4]sgitVersion=%[1]s%[4]sgitMajor=%[2]s%[4]sgitMinor=%[3]s%[4]sgitTreeState=clean",
		match[1], match[2], match[3], variable), nil
}

// hashSource covers all that the built binary depends on.
func hashSource(dir string) (string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return "", err
	}
	hash := sha256.New()
	fmt.Fprintln(hash, runtime.Version())
	for _, file := range append(files, filepath.Join(dir, "go.mod"), filepath.Join(dir, "go.sum")) {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		content, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		fmt.Fprintln(hash, filepath.Base(file), len(content))
		hash.Write(content)
	}
	return hex.EncodeToString(hash.Sum(nil))[:16], nil
}

// cacheDir is where built binaries are kept between runs.
func cacheDir() (string, error) {
	base := os.Getenv("XDG_CACHE_HOME")
	if base == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", err
		}
		base = filepath.Join(home, ".cache")
	}
	dir := filepath.Join(base, "flotilla")
	return dir, os.MkdirAll(dir, 0o755)
}

// awaitLock takes a lock that another process may hold for minutes.
func awaitLock(ctx context.Context, path string) (*disk.Lock, error) {
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	for {
		lock, err := disk.TryLock(path)
		if err == nil || !errors.Is(err, disk.ErrLocked) {
			return lock, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-ticker.C:
		}
	}
}

// report writes what is going on, and for how long already, until stopped.
func report(progress io.Writer, what string) (stop func()) {
	if progress == nil {
		return func() {}
	}
	started := time.Now()
	fmt.Fprintf(progress, "%s...\n", what)
	done := make(chan struct{})
	var reporter sync.WaitGroup
	reporter.Go(func() {
		ticker := time.NewTicker(10 * time.Second)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
				fmt.Fprintf(progress, "%s: %s...\n", what, time.Since(started).Round(time.Second))
			}
		}
	})
	return func() {
		close(done)
		reporter.Wait()
	}
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
