package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"flotilla.dev/flotilla/test/lab"
)

// asDemo makes the test binary be the demo, brokenApp its app one whose image cannot be pulled.
const (
	asDemo    = "FLOTILLA_TEST_AS_DEMO"
	brokenApp = "FLOTILLA_TEST_BROKEN_APP"
)

func TestMain(m *testing.M) {
	if os.Getenv(asDemo) == "" {
		heedHangUps()
		lab.Main(m)
	}
	if os.Getenv(brokenApp) != "" {
		breakApp()
	}
	main()
}

// heedHangUps has what is started here not inherit that hang-ups are ignored, as under nohup, which the demo respects.
func heedHangUps() {
	if signal.Ignored(syscall.SIGHUP) {
		signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP) // a caught signal is one that a child has to begin with
	}
}

func breakApp() {
	broken := fstest.MapFS{}
	err := fs.WalkDir(app, "app", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(app, path)
		broken[path] = &fstest.MapFile{Data: bytes.ReplaceAll(content, []byte("fail: none"), []byte("fail: image"))}
		return err
	})
	if err != nil {
		panic(err)
	}
	app = broken
	becomeReady = time.Minute
	fleetTemplate = strings.ReplaceAll(fleetTemplate, "timeout: 30s", "timeout: 3s")
}

// patience is for a machine that tests keep busy.
const patience = 3 * time.Minute

// running is a demo in a directory of the test's own, or what has started one.
type running struct {
	dir   string
	cmd   *exec.Cmd
	log   string
	ended chan struct{}
	err   error // once ended is closed
}

// output is all that the demo wrote so far: it writes to a file itself, so that nothing is under way.
func (r *running) output() string {
	content, err := os.ReadFile(r.log)
	if err != nil {
		return err.Error()
	}
	return string(content)
}

// startDemo runs a demo in dir; env is added to its environment.
func startDemo(t *testing.T, dir string, env []string, args ...string) *running {
	t.Helper()
	cmd := exec.Command(os.Args[0], append([]string{"--dir", dir, "--bin", lab.TestBinaries(t)}, args...)...)
	cmd.Env = append(append(os.Environ(), asDemo+"=1"), env...)
	return start(t, dir, cmd)
}

func start(t *testing.T, dir string, cmd *exec.Cmd) *running {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	r := &running{dir: dir, cmd: cmd, log: log.Name(), ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		r.err = cmd.Wait()
		close(r.ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it ends before the test when all is well
		<-r.ended
		if t.Failed() {
			t.Logf("the demo said:\n%s", r.output())
		}
	})
	return r
}

// awaitFile waits until the demo has made a file.
func (r *running) awaitFile(t *testing.T, name string) {
	t.Helper()
	lab.Eventually(t, patience, "there is "+name, func() error {
		select {
		case <-r.ended:
			t.Fatalf("the demo ended: %v", r.err)
		default:
		}
		_, err := os.Stat(r.file(name))
		return err
	})
}

// signal sends one and returns how the demo ended.
func (r *running) signal(t *testing.T, s os.Signal) error {
	t.Helper()
	if err := r.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
	return r.end(t)
}

// end waits for the end and returns how it was.
func (r *running) end(t *testing.T) error {
	t.Helper()
	select {
	case <-r.ended:
	case <-time.After(patience):
		t.Fatal("the demo does not end")
	}
	return r.err
}

func (r *running) file(name string) string { return filepath.Join(r.dir, name) }

// noneLeft fails when a process still has the directory in its command line.
func noneLeft(t *testing.T, dir string) {
	t.Helper()
	lab.Eventually(t, patience, "nothing of the demo runs", func() error {
		files, err := filepath.Glob("/proc/[0-9]*/cmdline")
		if err != nil {
			return err
		}
		for _, file := range files {
			content, _ := os.ReadFile(file) // it may have ended just now
			if line := strings.ReplaceAll(string(content), "\x00", " "); strings.Contains(line, dir) {
				return fmt.Errorf("still running: %s", line)
			}
		}
		return nil
	})
}

// nothingLeft fails when anything is still there.
func nothingLeft(t *testing.T, dir string) {
	t.Helper()
	noneLeft(t, dir)
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the directory is still there: %v", err)
	}
}
