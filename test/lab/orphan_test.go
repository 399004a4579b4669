package lab_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"flotilla.dev/flotilla/test/lab"
)

// ownerOf makes the test binary start that part and wait to be killed, instead of running tests.
const ownerOf = "FLOTILLA_TEST_LAB_OWNER"

// own starts a part, says what a test must know of it on a line of JSON, and waits.
func own(part string) {
	ctx := context.Background()
	said := map[string]string{}
	switch part {
	case "cluster":
		c, err := lab.StartCluster(ctx, lab.ClusterConfig{})
		if err != nil {
			panic(err)
		}
		said["dir"] = c.Dir()
	case "postgres":
		p, err := lab.StartPostgres(ctx, lab.PostgresConfig{Dir: os.Getenv("DIR")})
		if err != nil {
			panic(err)
		}
		said["url"] = p.URL()
	case "build":
		if err := json.NewEncoder(os.Stdout).Encode(said); err != nil {
			panic(err)
		}
		// Each compiler is a program that does not end.
		build := exec.CommandContext(ctx, "go", "build", "-a", "-toolexec", "sh "+filepath.Join(os.Getenv("DIR"), "compiler"), "-o", os.DevNull, "errors")
		panic(fmt.Sprint(lab.RunBuild(build)))
	}
	if err := json.NewEncoder(os.Stdout).Encode(said); err != nil {
		panic(err)
	}
	select {}
}

// owner runs own in a process and returns what it said, and the means to kill it.
func owner(t *testing.T, part string, env ...string) (said map[string]string, kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), ownerOf+"="+part), env...)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = func() {
		_ = cmd.Process.Signal(syscall.SIGKILL)
		_ = cmd.Wait()
	}
	t.Cleanup(kill)
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err != nil {
		t.Fatalf("owner of %s: %v", part, err)
	}
	if err := json.Unmarshal(line, &said); err != nil {
		t.Fatal(err)
	}
	return said, kill
}

func TestProcessesDieWithTheirOwner(t *testing.T) {
	t.Parallel()
	said, kill := owner(t, "cluster")
	if found := processesOf(t, said["dir"]); len(found) != 3 {
		t.Fatalf("running: %q, want three", found)
	}
	kill()

	lab.Eventually(t, patience, "nothing runs", func() error {
		if found := processesOf(t, said["dir"]); len(found) > 0 {
			return fmt.Errorf("running: %q", found)
		}
		return nil
	})
	// The directory goes with the next part that anybody starts in a temporary one.
	p, err := lab.StartPostgres(t.Context(), lab.PostgresConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(said["dir"]); !os.IsNotExist(err) {
		t.Errorf("the directory is still there: %v", err)
	}
}

func TestCompilersDieWithTheOwnerOfTheirBuild(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "compiler"), []byte("while [ -e \"$0\" ]; do sleep 1; done\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, kill := owner(t, "build", "DIR="+dir)
	lab.Eventually(t, patience, "a compiler runs", func() error {
		if found := processesOf(t, dir); !slices.ContainsFunc(found, func(line string) bool { return strings.HasPrefix(line, "sh ") }) {
			return fmt.Errorf("running: %q", found)
		}
		return nil
	})
	kill()

	lab.Eventually(t, patience, "nothing runs", func() error {
		if found := processesOf(t, dir); len(found) > 0 {
			return fmt.Errorf("running: %q", found)
		}
		return nil
	})
}

// processesOf lists the command lines that name a directory.
func processesOf(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, file := range files {
		content, _ := os.ReadFile(file)
		pid, _ := strconv.Atoi(strings.Split(file, "/")[2])
		if strings.Contains(string(content), dir) && pid != os.Getpid() {
			found = append(found, strings.ReplaceAll(string(content), "\x00", " "))
		}
	}
	return found
}
