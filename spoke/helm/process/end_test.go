package process_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"flotilla.dev/flotilla/spoke/helm"
	"flotilla.dev/flotilla/spoke/helm/job"
	"flotilla.dev/flotilla/spoke/helm/process"
	"flotilla.dev/flotilla/test/lab"
)

// slow is a hook that goes on running.
var slow = map[string]string{"templates/hook.yaml": "apiVersion: v1\nkind: Pod\nmetadata: {name: hook, annotations: {\"helm.sh/hook\": pre-install, demo/run: \"true\"}}\n" +
	"spec: {restartPolicy: Never, containers: [{name: a, image: a}]}\n"}

// hooked returns when the hook is there.
func (b *bundle) hooked() {
	b.Helper()
	client, err := kubernetes.NewForConfig(lab.TestCluster(b.T).REST())
	if err != nil {
		b.Fatal(err)
	}
	b.eventually("the hook is there", func() bool {
		_, err := client.CoreV1().Pods(b.job.Namespace).Get(b.Context(), "hook", metav1.GetOptions{})
		return err == nil
	})
}

func (b *bundle) eventually(what string, is func() bool) {
	b.Helper()
	deadline := time.Now().Add(time.Minute)
	for !is() {
		if time.Now().After(deadline) {
			b.Fatal("not within a minute: ", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// outcome is what Do has returned.
type outcome struct {
	answer job.Answer
	err    error
}

func begin(ctx context.Context, p helm.Process, action job.Action) <-chan outcome {
	done := make(chan outcome, 1)
	go func() {
		answer, err := p.Do(ctx, job.Request{Action: action})
		done <- outcome{answer, err}
	}()
	return done
}

func (b *bundle) historyIs(answer job.Answer, want string) {
	b.Helper()
	var history []string
	for _, s := range answer.History {
		history = append(history, fmt.Sprint(s.Version, " ", s.Status))
	}
	if got := strings.Join(history, ", "); got != want {
		b.Errorf("the history is %q, want %q", got, want)
	}
}

func TestAnActionIsCutShortByEitherContext(t *testing.T) {
	for _, of := range []string{"Do", "Start"} {
		t.Run(of, func(t *testing.T) {
			b := newBundle(t, process.Config{}, slow)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			startCtx, doCtx := t.Context(), ctx
			if of == "Start" {
				startCtx, doCtx = ctx, t.Context()
			}
			p := b.start(startCtx)
			done := begin(doCtx, p, job.Install)
			b.hooked()
			cancel()
			o := <-done
			if o.err != nil || o.answer.Failure == nil || !strings.Contains(o.answer.Failure.Message, "cut short") || !o.answer.Failure.Began {
				t.Fatalf("%v, %+v", o.err, o.answer.Failure)
			}
			b.historyIs(o.answer, "1 failed")
			if of == "Start" {
				if _, err := p.Do(t.Context(), job.Request{Action: job.Observe}); err == nil {
					t.Error("a process goes on whose context has ended")
				}
			}
		})
	}
}

func TestWhatAKilledProcessLeftPendingIsUnlocked(t *testing.T) {
	b := newBundle(t, process.Config{}, slow)
	p := b.start(t.Context())
	done := begin(t.Context(), p, job.Install)
	b.hooked()
	if err := syscall.Kill(p.(*process.Process).PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if o := <-done; o.err == nil || !strings.Contains(o.err.Error(), "killed from outside") {
		t.Errorf("it is %v", o.err)
	}
	answer, err := b.start(t.Context()).Do(t.Context(), job.Request{Action: job.Observe})
	if err != nil {
		t.Fatal(err)
	}
	b.historyIs(answer, "1 pending-install")
	if answer, err = b.start(t.Context()).Do(t.Context(), job.Request{Action: job.Unlock}); err != nil {
		t.Fatal(err)
	}
	b.historyIs(answer, "1 failed")
}

func TestCloseEndsAnActionUnderWay(t *testing.T) {
	b := newBundle(t, process.Config{}, slow)
	p := b.start(t.Context())
	done := begin(t.Context(), p, job.Install)
	b.hooked()
	p.Close()
	if o := <-done; o.err == nil {
		t.Error("it was answered")
	}
	p.Close() // again
}

// The test program starts itself as a spoke that has a process, and is killed.
func TestAProcessEndsWithTheSpoke(t *testing.T) {
	t.Parallel()
	spoke := exec.CommandContext(t.Context(), mustExecutable(t), "-test.run", "^TestSpokeThatIsKilled$", "-test.v")
	spoke.Env = append(os.Environ(), "FLOTILLA_TEST_SPOKE=1")
	out, err := spoke.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := spoke.Start(); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	buffer := make([]byte, 1<<10)
	for !strings.Contains(said.String(), "pid=") || !strings.HasSuffix(said.String(), "\n") {
		n, err := out.Read(buffer)
		said.Write(buffer[:n])
		if err != nil {
			t.Fatalf("%v: %s", err, said.String())
		}
	}
	_, number, _ := strings.Cut(said.String(), "pid=")
	pid, err := strconv.Atoi(strings.Fields(number)[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := spoke.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = spoke.Wait()
	deadline := time.Now().Add(time.Minute)
	for syscall.Kill(pid, 0) == nil {
		if status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)); err != nil || strings.Contains(string(status), "State:\tZ") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the process goes on")
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func TestSpokeThatIsKilled(t *testing.T) {
	if os.Getenv("FLOTILLA_TEST_SPOKE") == "" {
		return // it is TestAProcessEndsWithTheSpoke that starts it
	}
	runner, err := process.New(process.Config{Program: mustExecutable(t)})
	if err != nil {
		t.Fatal(err)
	}
	p, err := runner.Start(t.Context(), unreachable, nil)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("pid=%d\n", p.(*process.Process).PID())
	select {} // until it is killed
}

// A word to cut an action short may come when that has been answered, and is then about none.
func TestOnlyTheActionIsCutShortThatIsMeant(t *testing.T) {
	b := newBundle(t, process.Config{}, nil)
	p := b.start(t.Context())
	for range 50 {
		ctx, cancel := context.WithCancel(t.Context())
		done := begin(ctx, p, job.Observe)
		cancel()
		if o := <-done; o.err != nil {
			t.Fatal(o.err)
		}
		if answer, err := p.Do(t.Context(), job.Request{Action: job.Observe}); err != nil || answer.Failure != nil {
			t.Fatalf("the next: %v, %+v", err, answer.Failure)
		}
	}
}
