package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"flotilla.dev/flotilla/test/lab"
)

// The steps share one demo, since a demo takes its time.
func TestDemoKeepsItsContract(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a demo")
	d := startDemo(t, dir, nil)
	d.awaitFile(t, "ready")
	if said := d.output(); !strings.Contains(said, "Ctrl-C ends the demo") {
		t.Errorf("it is ready before it has said what to do with it: %s", said)
	}

	// At once: who waits for the word that all is ready may do anything then.
	first := d.hubPID(t)
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		name string
		run  func(*testing.T, *running)
	}{
		{"every cluster runs the app", everyClusterRunsTheApp},
		{"a second demo is refused", secondDemoIsRefused},
		{"all listen on loopback", allListenOnLoopback},
		{"a killed hub comes back", func(t *testing.T, d *running) { d.awaitHubAfter(t, first) }},
		{"clusters have their labels", clustersHaveTheirLabels},
		{"the five things can be done", fiveThingsCanBeDone},
	} {
		if !t.Run(step.name, func(t *testing.T) { step.run(t, d) }) {
			return
		}
	}
	if err := d.signal(t, os.Interrupt); err != nil {
		t.Errorf("an interrupted demo that was ready ended with %v", err)
	}
	nothingLeft(t, dir)
}

func everyClusterRunsTheApp(t *testing.T, d *running) {
	for _, cluster := range []string{"canary-1", "prod-1", "prod-2"} {
		client := d.client(t, cluster)
		deployment, err := client.AppsV1().Deployments("hello").Get(t.Context(), "hello", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if wanted := *deployment.Spec.Replicas; wanted == 0 || deployment.Status.AvailableReplicas != wanted {
			t.Errorf("in %s %d of %d replicas are available", cluster, deployment.Status.AvailableReplicas, wanted)
		}
		if _, err := client.CoreV1().Services("hello").Get(t.Context(), "hello", metav1.GetOptions{}); err != nil {
			t.Error(err)
		}
		if got := d.greeting(t, cluster); got != "Hello from the fleet" {
			t.Errorf("%s is greeted %q", cluster, got)
		}
	}
}

func secondDemoIsRefused(t *testing.T, d *running) {
	second := startDemo(t, d.dir, nil)
	if err := second.end(t); err == nil || !strings.Contains(second.output(), "a demo runs in "+d.dir+" already") {
		t.Errorf("it ended with %v", err)
	}
	if _, err := os.Stat(d.file("ready")); err != nil {
		t.Errorf("it disturbed the first: %v", err)
	}
}

func clustersHaveTheirLabels(t *testing.T, d *running) {
	var list struct {
		Items []struct {
			Metadata metav1.ObjectMeta `json:"metadata"`
		} `json:"items"`
	}
	output, err := d.shell(t, `source "$DIR/env"; fleetctl get clusters -o json`)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(output), &list); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	tiers := map[string]string{}
	for _, cluster := range list.Items {
		tiers[cluster.Metadata.Name] = cluster.Metadata.Labels["tier"]
		if cluster.Metadata.Labels["region"] == "" {
			t.Errorf("%s has no region", cluster.Metadata.Name)
		}
	}
	if got := fmt.Sprint(tiers); got != "map[canary-1:canary prod-1:prod prod-2:prod]" {
		t.Errorf("the tiers are %s", got)
	}
}

var (
	thing   = regexp.MustCompile(`(?m)^[1-9]\. `)
	command = regexp.MustCompile(`(?m)^  \S.*$`)
)

// fiveThingsCanBeDone runs the commands that the demo printed, as they are.
func fiveThingsCanBeDone(t *testing.T, d *running) {
	_, printed, found := strings.Cut(d.output(), "Five things to try")
	if numbers := thing.FindAllString(printed, -1); !found || len(numbers) != 5 {
		t.Fatalf("the demo prints %d things to try", len(numbers))
	}
	before, prod := d.hubPID(t), d.generation(t, "prod-1")
	output, err := d.shell(t, "set +e\n"+strings.Join(command.FindAllString(printed, -1), "\n"))
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	for _, want := range []string{"Pulling|Pull", "was rolled back", "RolledBack", "no object would be left of 4", "3 ready"} {
		if !regexp.MustCompile(want).MatchString(output) {
			t.Errorf("nothing says %s:\n%s", want, output)
		}
	}
	if now := d.generation(t, "prod-1"); now != prod {
		t.Errorf("the Deployment in prod-1 is at generation %d and was at %d: the broken one came there", now, prod)
	}
	d.awaitHubAfter(t, before)
	if output, err := d.shell(t, `source "$DIR/env"; fleetctl wait ks/app --for=ready`); err != nil {
		t.Errorf("the app afterwards: %v\n%s", err, output)
	}
	for _, cluster := range []string{"canary-1", "prod-1", "prod-2"} {
		if got := d.greeting(t, cluster); got != "Good morning from the fleet" {
			t.Errorf("afterwards, %s is greeted %q", cluster, got)
		}
	}
}

func TestDemoTakesThePlaceOfAKilledOne(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a demo")
	killed := startDemo(t, dir, nil)
	killed.awaitFile(t, "hub/ready.json")
	if err := killed.signal(t, syscall.SIGKILL); err == nil {
		t.Error("a killed demo ended well")
	}
	noneLeft(t, dir)

	next := startDemo(t, dir, nil, "--exit")
	if err := next.end(t); err != nil {
		t.Errorf("a demo in the place of a killed one: %v", err)
	}
	nothingLeft(t, dir)
}

func TestDemoOfABrokenAppFailsByItself(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a demo")
	d := startDemo(t, dir, []string{brokenApp + "=1"}, "--exit")
	var ended *exec.ExitError
	if err := d.end(t); !errors.As(err, &ended) || ended.ExitCode() != 1 {
		t.Errorf("it ended with %v, want exit code 1", err)
	}
	if said := d.output(); !regexp.MustCompile("Pulling|Pull").MatchString(said) {
		t.Error("it does not say why")
	}
	noneLeft(t, dir)
	if logs, err := os.ReadDir(d.file("log")); err != nil || len(logs) == 0 {
		t.Errorf("the logs are %v, %v", logs, err)
	}
	if _, err := os.Stat(d.file("ready")); !os.IsNotExist(err) {
		t.Errorf("it says that it is ready: %v", err)
	}
}

func TestDemoInterruptedBeforeItIsReadyLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a demo")
	d := startDemo(t, dir, nil)
	d.awaitFile(t, "hub/ready.json")
	if err := d.signal(t, os.Interrupt); err == nil {
		t.Error("a demo that never became ready ended well")
	}
	noneLeft(t, dir)
}

// A killed make cannot end what it has started.
func TestDemoEndsWithTheMakeThatStartedIt(t *testing.T) {
	t.Parallel()
	root, err := lab.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "demo")
	d := start(t, dir, exec.Command("make", "-C", root, "demo", "ARGS=--dir "+dir+" --bin "+lab.TestBinaries(t)))
	d.awaitFile(t, "hub/ready.json")
	if err := d.signal(t, syscall.SIGKILL); err == nil {
		t.Error("a killed make ended well")
	}
	noneLeft(t, dir)
	if said := d.output(); !strings.Contains(said, "nothing of it runs any more") {
		t.Error("the demo did not end in order")
	}
}

func (r *running) hubPID(t *testing.T) int {
	t.Helper()
	content, err := os.ReadFile(r.file("hub.pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil || pid <= 1 {
		t.Fatalf("hub.pid holds %q", content)
	}
	return pid
}

// awaitHubAfter waits until another process is the hub.
func (r *running) awaitHubAfter(t *testing.T, before int) {
	t.Helper()
	lab.Eventually(t, patience, "the hub is back", func() error {
		select {
		case <-r.ended:
			t.Fatalf("the demo ended: %v", r.err)
		default:
		}
		if now := r.hubPID(t); now == before {
			return fmt.Errorf("it is still process %d", now)
		}
		return nil
	})
}

func (r *running) client(t *testing.T, cluster string) kubernetes.Interface {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", r.file(filepath.Join("clusters", cluster, "kubeconfig")))
	if err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// generation of the app's Deployment in a cluster grows with every change of it.
func (r *running) generation(t *testing.T, cluster string) int64 {
	t.Helper()
	deployment, err := r.client(t, cluster).AppsV1().Deployments("hello").Get(t.Context(), "hello", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return deployment.Generation
}

// greeting is what the app's ConfigMap says in a cluster.
func (r *running) greeting(t *testing.T, cluster string) string {
	t.Helper()
	found, err := r.client(t, cluster).CoreV1().ConfigMaps("hello").Get(t.Context(), "greeting", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return found.Data["text"]
}

// shell runs commands as a person does whose machine has no settings for git or fleetctl.
func (r *running) shell(t *testing.T, script string) (output string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-euc", script)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "DIR=" + r.dir}
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	err = cmd.Run()
	return said.String(), err
}
