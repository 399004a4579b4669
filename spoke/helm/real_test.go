package helm_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/manifest"
	"flotilla.dev/flotilla/spoke/helm"
	"flotilla.dev/flotilla/spoke/helm/job"
	"flotilla.dev/flotilla/spoke/helm/process"
	"flotilla.dev/flotilla/test/lab"
)

// real is an engine with Helm itself, in processes of this very program.
type real struct {
	*testing.T
	client    kubernetes.Interface
	namespace string
	system    string
	cluster   *lab.Cluster
	runner    *counted
	engine    *helm.Engine
	stop      func()
	plan      flux.HelmPlan
	controls  fleet.Controls

	mu     sync.Mutex
	blobs  manifest.Blobs
	events []fleet.Event
}

// counted starts processes and knows the newest.
type counted struct {
	helm.Runner
	mu      sync.Mutex
	started int
	newest  int // its number
}

// starting has one process started at a time, so that it is told from others.
var starting sync.Mutex

func (c *counted) Start(ctx context.Context, j job.Job, archive []byte) (helm.Process, error) {
	starting.Lock()
	defer starting.Unlock()
	before := children()
	p, err := c.Runner.Start(ctx, j, archive)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.started++
	for pid := range children() {
		if !before[pid] {
			c.newest = pid
		}
	}
	return p, err
}

// children are the processes of flotilla-helm that this one has started.
func children() map[int]bool {
	found := map[int]bool{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, stat := range stats {
		data, err := os.ReadFile(stat)
		if err != nil {
			continue
		}
		fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(stat)))
		line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if len(fields) > 1 && fields[1] == strconv.Itoa(os.Getpid()) && strings.HasPrefix(string(line), process.Name) {
			found[pid] = true
		}
	}
	return found
}

func newReal(t *testing.T) *real {
	t.Helper()
	t.Parallel()
	cluster := lab.TestCluster(t)
	client, err := kubernetes.NewForConfig(cluster.REST())
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	runner, err := process.New(process.Config{Program: program})
	if err != nil {
		t.Fatal(err)
	}
	r := &real{
		T: t, client: client, cluster: cluster, namespace: lab.TestNamespace(t, cluster), system: lab.TestNamespace(t, cluster),
		runner: &counted{Runner: runner}, blobs: manifest.Blobs{},
	}
	r.controls.Timeout = time.Minute
	t.Cleanup(func() { r.stop() })
	r.start()
	return r
}

// start runs an engine; one that runs is left behind, as when it was killed.
func (r *real) start() {
	r.Helper()
	config := r.cluster.REST()
	config.UserAgent = "engine-" + r.namespace
	engine, err := helm.New(helm.Config{
		Event: func(event fleet.Event) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.events = append(r.events, event)
		},
		REST: config, Runner: r.runner, Namespace: r.system,
		Blob: func(digest fleet.Digest) ([]byte, error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			if blob, has := r.blobs[digest]; has {
				return blob, nil
			}
			return nil, fleet.ErrNotFound
		},
	})
	if err != nil {
		r.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- engine.Run(ctx) }()
	before := r.stop
	r.engine = engine
	r.stop = func() {
		cancel()
		if err := <-done; err != nil {
			r.Errorf("run: %v", err)
		}
		if before != nil {
			before()
		}
	}
}

func (r *real) app() fleet.Key {
	return fleet.Key{Home: fleet.HubHome, Kind: "HelmRelease", Namespace: r.namespace, Name: "app"}
}

// target is a version of the chart "app" that has these files beside.
func (r *real) target(version string, files map[string]string) helm.Target {
	r.Helper()
	chart, err := lab.PackChart(filesOf(version, files))
	if err != nil {
		r.Fatal(err)
	}
	r.plan.Chart = flux.HelmArtifact{Revision: version, Source: "HelmChart/" + r.namespace + "/app"}
	encoded, err := r.plan.Encode()
	if err != nil {
		r.Fatal(err)
	}
	m, blobs, err := manifest.NewChart(encoded, chart.Archive)
	if err != nil {
		r.Fatal(err)
	}
	r.mu.Lock()
	maps.Copy(r.blobs, blobs)
	r.mu.Unlock()
	return helm.Target{App: r.app(), Release: fleet.Release{App: r.app(), Manifest: m.Digest()}, Manifest: m, Controls: r.controls}
}

// filesOf are those of a version of the chart "app", with these beside.
func filesOf(version string, files map[string]string) map[string]string {
	all := map[string]string{
		"Chart.yaml":        "apiVersion: v2\nname: app\nversion: " + version + "\n",
		"values.yaml":       "value: chart\n",
		"templates/it.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: it}\ndata: {value: '{{ .Values.value }}', version: '{{ .Chart.Version }}'}\n",
	}
	maps.Copy(all, files)
	return all
}

func (r *real) try(t helm.Target) error {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Minute)
	defer cancel()
	return r.engine.Deploy(ctx, t)
}

func (r *real) deploy(t helm.Target) {
	r.Helper()
	if err := r.try(t); err != nil {
		r.Fatal(err)
	}
}

func (r *real) refused(t helm.Target, reason string) *helm.Failure {
	r.Helper()
	var failure *helm.Failure
	if err := r.try(t); !errors.As(err, &failure) || failure.Reason != reason {
		r.Fatalf("error %v, want a failure for %s", err, reason)
	}
	return failure
}

func (r *real) status() (s fleet.HelmStatus) {
	r.Helper()
	if err := json.Unmarshal(r.engine.Status(r.app()).Detail, &s); err != nil {
		r.Fatal(err)
	}
	return s
}

// stored is what Helm has, as "version:status", the newest first.
func (r *real) stored() string {
	r.Helper()
	list, err := r.client.CoreV1().Secrets(r.namespace).List(r.Context(), metav1.ListOptions{LabelSelector: "owner=helm,name=app"})
	if err != nil {
		r.Fatal(err)
	}
	var words []string
	for _, secret := range list.Items {
		words = append(words, "v"+secret.Labels["version"]+":"+secret.Labels["status"])
	}
	slices.Sort(words)
	slices.Reverse(words)
	return strings.Join(words, " ")
}

func (r *real) wants(stored string) {
	r.Helper()
	if got := r.stored(); got != stored {
		r.Errorf("stored is %q, want %q", got, stored)
	}
}

// data is that of the chart's ConfigMap; nil: it is not there.
func (r *real) data() map[string]string {
	r.Helper()
	cm, err := r.client.CoreV1().ConfigMaps(r.namespace).Get(r.Context(), "it", metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		r.Fatal(err)
	}
	return cm.Data
}

// until polls for what has no sign.
func (r *real) until(what string, is func() bool) {
	r.Helper()
	deadline, tick := time.After(time.Minute), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-deadline:
			r.Fatalf("not within a minute: %s; stored is %q", what, r.stored())
		}
	}
}

func broken(kind string) string {
	switch kind {
	case "deployment":
		return "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  selector: {matchLabels: {app: web}}\n  template:\n" +
			"    metadata: {labels: {app: web}, annotations: {demo/fail: crash}}\n    spec: {containers: [{name: web, image: web}]}\n"
	case "test":
		return "apiVersion: v1\nkind: Pod\nmetadata: {name: ping, annotations: {helm.sh/hook: test, demo/fail: crash}}\nspec: {restartPolicy: Never, containers: [{name: web, image: web}]}\n"
	}
	return ""
}

func TestHelmItselfInstallsUpgradesAndUninstalls(t *testing.T) {
	r := newReal(t)
	target := r.target("1.0.0", nil)
	r.deploy(target)
	r.wants("v1:deployed")
	if data := r.data(); data["value"] != "chart" || data["version"] != "1.0.0" {
		t.Errorf("it has %v", data)
	}
	if s := r.engine.Status(r.app()); s.Ready.Reason != "InstallSucceeded" || s.Applied != target.Release.Digest() {
		t.Errorf("status is %+v", s)
	}
	started := r.runner.started
	r.deploy(target)
	target.Verify = true
	r.deploy(target)
	if n := r.runner.started - started; n != 0 {
		t.Errorf("passes in which nothing changed started %d processes", n)
	}
	r.plan.Spec.ValuesFrom = []flux.HelmValuesReference{{Kind: "Secret", Name: "values"}}
	secrets := r.client.CoreV1().Secrets(r.namespace)
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "values"}, StringData: map[string]string{"values.yaml": "value: hidden"}}
	failure := r.refused(r.target("2.0.0", nil), "ValuesError")
	if !strings.Contains(failure.Error(), "values") {
		t.Errorf("failure is %v", failure)
	}
	wakes := r.engine.Status(r.app()).Wakes
	if _, err := secrets.Create(t.Context(), secret, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	r.until("the App is woken", func() bool { return r.engine.Status(r.app()).Wakes > wakes })
	r.deploy(r.target("2.0.0", nil))
	r.wants("v2:deployed v1:superseded")
	if data := r.data(); data["value"] != "hidden" || data["version"] != "2.0.0" {
		t.Errorf("it has %v", data)
	}
	if h := r.status(); h.LastAttemptedRevision != "2.0.0" || h.History[0].ChartName != "app" || h.History[0].Version != 2 {
		t.Errorf("status is %+v", h)
	}
	done, err := r.engine.Remove(t.Context(), helm.Removal{App: r.app(), Tombstone: fleet.Tombstone{Delete: true}, Controls: r.controls})
	if err != nil || !done {
		t.Fatalf("removed: %t, error %v", done, err)
	}
	r.wants("")
	if data := r.data(); data != nil {
		t.Errorf("it is still there: %v", data)
	}
}

func TestHelmsFailedUpgradeIsRolledBack(t *testing.T) {
	r := newReal(t)
	r.plan.Spec.Upgrade = &flux.HelmUpgrade{Remediation: &flux.HelmRemediation{Retries: 1}}
	r.deploy(r.target("1.0.0", nil))
	r.controls.Helm.Upgrade = 2 * time.Second
	bad := r.target("2.0.0", map[string]string{"templates/web.yaml": broken("deployment")})
	r.refused(bad, "RollbackSucceeded")
	r.wants("v3:deployed v2:failed v1:superseded")
	if data := r.data(); data["version"] != "1.0.0" {
		t.Errorf("it has %v", data)
	}
	if failure := r.refused(bad, "RollbackSucceeded"); !failure.Terminal {
		t.Errorf("failure is %+v", failure)
	}
	if h := r.status(); h.Stalled.Reason != "RetriesExceeded" || h.UpgradeFailures != 2 || h.Released.Reason != "UpgradeFailed" {
		t.Errorf("status is %+v", h)
	}
	r.deploy(r.target("3.0.0", nil))
	if data := r.data(); data["version"] != "3.0.0" {
		t.Errorf("it has %v", data)
	}
}

func TestHelmsFailedTestIsRemediated(t *testing.T) {
	r := newReal(t)
	r.plan.Spec.Test = &flux.HelmTest{Enable: true}
	r.plan.Spec.Upgrade = &flux.HelmUpgrade{Remediation: &flux.HelmRemediation{Retries: 1}}
	target := r.target("1.0.0", nil)
	r.deploy(target)
	if h := r.status(); h.TestSuccess.Reason != "TestSucceeded" {
		t.Errorf("status is %+v", h)
	}
	r.controls.Helm.Test = 2 * time.Second
	r.refused(r.target("2.0.0", map[string]string{"templates/ping.yaml": broken("test")}), "RollbackSucceeded")
	r.wants("v3:deployed v2:superseded v1:superseded")
	if h := r.status(); h.TestSuccess.Reason != "TestFailed" || h.UpgradeFailures != 1 {
		t.Errorf("status is %+v", h)
	}
}

func TestHelmsProcessThatIsKilledAmidAnActionCostsNothing(t *testing.T) {
	for name, c := range map[string]struct {
		pending, want string
	}{
		"install": {"v1:pending-install", "v2:deployed v1:failed"},
		"upgrade": {"v2:pending-upgrade v1:deployed", "v3:deployed v2:failed v1:superseded"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newReal(t)
			if name == "upgrade" {
				r.deploy(r.target("1.0.0", nil))
			}
			hook := "apiVersion: batch/v1\nkind: Job\nmetadata: {name: slow, annotations: {helm.sh/hook: 'pre-install,pre-upgrade'}}\nspec: {suspend: true, template: {spec: {restartPolicy: Never, containers: [{name: a, image: a}]}}}\n"
			target := r.target("2.0.0", map[string]string{"templates/slow.yaml": hook})
			failed := make(chan error, 1)
			go func() { failed <- r.try(target) }()
			r.until("it is pending", func() bool { return r.stored() == c.pending })
			r.runner.mu.Lock()
			pid := r.runner.newest
			r.runner.mu.Unlock()
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			var failure *helm.Failure
			if err := <-failed; !errors.As(err, &failure) || failure.Terminal {
				t.Errorf("error %v", err)
			}
			jobs := r.client.BatchV1().Jobs(r.namespace)
			old, err := jobs.Get(t.Context(), "slow", metav1.GetOptions{})
			if err != nil && !apierrors.IsNotFound(err) {
				t.Fatal(err)
			}
			r.start() // the engine is another one too
			done := make(chan error, 1)
			go func() { done <- r.try(target) }()
			r.until("the hook runs again", func() bool {
				j, err := jobs.Get(t.Context(), "slow", metav1.GetOptions{})
				if err != nil || j.UID == old.UID || j.Spec.Suspend == nil || !*j.Spec.Suspend || !strings.Contains(r.stored(), "pending") {
					return false
				}
				no := false
				j.Spec.Suspend = &no
				_, err = jobs.Update(t.Context(), j, metav1.UpdateOptions{})
				return err == nil
			})
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			r.wants(c.want)
			if h := r.status(); h.Failures != 0 || h.InstallFailures != 0 || h.UpgradeFailures != 0 {
				t.Errorf("status is %+v", h)
			}
		})
	}
}
