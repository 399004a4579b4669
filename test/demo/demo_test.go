package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"flotilla.dev/flotilla/test/lab"
)

// asDemo makes the test binary be the demo.
const asDemo = "FLOTILLA_TEST_AS_DEMO"

func TestMain(m *testing.M) {
	if os.Getenv(asDemo) != "" {
		main()
		return
	}
	lab.Main(m)
}

// patience is for a machine that tests keep busy.
const patience = 3 * time.Minute

// running is a demo in a directory of the test's own.
type running struct {
	dir    string
	cmd    *exec.Cmd
	output *bytes.Buffer
	ended  chan struct{}
	err    error // once ended is closed
}

func startDemo(t *testing.T, dir string, args ...string) *running {
	t.Helper()
	r := &running{dir: dir, output: &bytes.Buffer{}, ended: make(chan struct{})}
	r.cmd = exec.Command(os.Args[0], append([]string{"--dir", dir, "--bin", lab.TestBinaries(t)}, args...)...)
	r.cmd.Env = append(os.Environ(), asDemo+"=1")
	r.cmd.Stdout, r.cmd.Stderr = r.output, r.output
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		r.err = r.cmd.Wait()
		close(r.ended)
	}()
	t.Cleanup(func() {
		_ = r.cmd.Process.Kill() // it ends before the test when all is well
		<-r.ended
		if t.Failed() {
			t.Logf("the demo said:\n%s", r.output)
		}
	})
	return r
}

func (r *running) awaitReady(t *testing.T) {
	t.Helper()
	lab.Eventually(t, patience, "the demo is ready", func() error {
		select {
		case <-r.ended:
			t.Fatalf("the demo ended: %v", r.err)
		default:
		}
		_, err := os.Stat(r.file("ready"))
		return err
	})
}

// signal sends one and returns how the demo ended.
func (r *running) signal(t *testing.T, s os.Signal) error {
	t.Helper()
	if err := r.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
	select {
	case <-r.ended:
	case <-time.After(patience):
		t.Fatalf("the demo does not end by %s", s)
	}
	return r.err
}

func (r *running) file(name string) string { return filepath.Join(r.dir, name) }

func TestDemoKeepsItsContractAndLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a demo")
	first := startDemo(t, dir)
	first.awaitReady(t)

	for _, cluster := range []string{"canary-1", "prod-1", "prod-2"} {
		if got := greeting(t, dir, cluster); got != "Hello from the fleet" {
			t.Errorf("cluster %s is greeted %q", cluster, got)
		}
	}
	shell(t, dir, `
		source "$DIR/env"
		sed -i 's/Hello/Good morning/' "$DIR/repo/base/configmap.yaml"
		git -C "$DIR/repo" commit -qam 'Greet by daytime'
		git -C "$DIR/repo" push -q
		fleetctl reconcile ks/app --with-source --wait
	`)
	if got := greeting(t, dir, "prod-2"); got != "Good morning from the fleet" {
		t.Errorf("after a push, prod-2 is greeted %q", got)
	}

	second := startDemo(t, dir)
	<-second.ended
	if said := second.output.String(); second.err == nil || !strings.Contains(said, "a demo runs in "+dir+" already") {
		t.Errorf("a second demo: %v, and said %q", second.err, said)
	}
	if _, err := os.Stat(first.file("ready")); err != nil {
		t.Errorf("the second demo disturbed the first: %v", err)
	}

	if err := first.signal(t, syscall.SIGKILL); err == nil {
		t.Error("a killed demo ended well")
	}
	noneLeft(t, dir)

	third := startDemo(t, dir, "--exit")
	<-third.ended
	if third.err != nil {
		t.Errorf("a demo in the place of a killed one: %v", third.err)
	}
	noneLeft(t, dir)
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory is still there: %v", err)
	}
}

func TestInterruptedDemoLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a demo")
	d := startDemo(t, dir)
	lab.Eventually(t, patience, "the hub runs", func() error {
		_, err := os.Stat(d.file("hub/ready.json"))
		return err
	})

	if err := d.signal(t, syscall.SIGINT); err == nil {
		t.Error("a demo that never became ready ended well")
	}
	noneLeft(t, dir)
}

// greeting is what the app's ConfigMap says in a cluster.
func greeting(t *testing.T, dir, cluster string) string {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", filepath.Join(dir, "clusters", cluster, "kubeconfig"))
	if err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	found, err := client.CoreV1().ConfigMaps("hello").Get(t.Context(), "greeting", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return found.Data["text"]
}

// shell runs commands as a person does whose machine has no settings for git or fleetctl.
func shell(t *testing.T, dir, script string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-euc", script)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "DIR=" + dir}
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
}

// noneLeft fails when a process still has the directory in its command line.
func noneLeft(t *testing.T, dir string) {
	t.Helper()
	lab.Eventually(t, 30*time.Second, "nothing of the demo runs", func() error {
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
