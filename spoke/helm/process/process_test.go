package process_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/spoke/helm"
	"flotilla.dev/flotilla/spoke/helm/job"
	"flotilla.dev/flotilla/spoke/helm/process"
	"flotilla.dev/flotilla/spoke/helm/sdk"
	"flotilla.dev/flotilla/test/lab"
)

// TestMain has this very program be flotilla-helm, where it is started as that.
func TestMain(m *testing.M) {
	sdk.Main()
	lab.Main(m)
}

// bundle is a test's own namespace, and a Job for an App in it.
type bundle struct {
	*testing.T
	config process.Config
	job    job.Job
	chart  []byte
}

func newBundle(t *testing.T, config process.Config, files map[string]string) *bundle {
	t.Helper()
	t.Parallel()
	cluster := lab.TestCluster(t)
	namespace := lab.TestNamespace(t, cluster)
	rest := cluster.REST()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	config.Program = program
	all := map[string]string{
		"Chart.yaml":        "apiVersion: v2\nname: app\nversion: 1.0.0\n",
		"templates/it.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: it}\n",
	}
	for name, content := range files {
		all[name] = content
	}
	chart, err := lab.PackChart(all)
	if err != nil {
		t.Fatal(err)
	}
	return &bundle{T: t, config: config, chart: chart.Archive, job: job.Job{
		App:     fleet.Key{Home: fleet.HubHome, Kind: "HelmRelease", Namespace: namespace, Name: "app"},
		Release: "app", Namespace: namespace, Storage: namespace, Timeout: time.Minute,
		Connection: job.Connection{Host: rest.Host, CAData: rest.CAData, CertData: rest.CertData, KeyData: rest.KeyData},
		Plan:       flux.HelmPlan{Chart: flux.HelmArtifact{Source: "HelmChart/x/app"}},
	}}
}

// start starts a process that ends with the test.
func (b *bundle) start(ctx context.Context) helm.Process {
	b.Helper()
	runner, err := process.New(b.config)
	if err != nil {
		b.Fatal(err)
	}
	p, err := runner.Start(ctx, b.job, b.chart)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(p.Close)
	return p
}

func TestAProcessDoesOneActionAfterTheOther(t *testing.T) {
	b := newBundle(t, process.Config{}, nil)
	p := b.start(t.Context())
	for _, step := range []struct {
		action  job.Action
		history string
	}{{job.Prepare, ""}, {job.Observe, ""}, {job.Install, "1 deployed"}, {job.Upgrade, "2 deployed, 1 superseded"}, {job.Observe, "2 deployed, 1 superseded"}, {job.Uninstall, ""}} {
		answer, err := p.Do(t.Context(), job.Request{Action: step.action})
		if err != nil || answer.Failure != nil {
			t.Fatalf("%s: %v, %+v", step.action, err, answer.Failure)
		}
		var history []string
		for _, s := range answer.History {
			history = append(history, fmt.Sprint(s.Version, " ", s.Status))
		}
		if got := strings.Join(history, ", "); got != step.history {
			t.Errorf("%s: the history is %q, want %q", step.action, got, step.history)
		}
	}
}

func TestAProgramThatIsNotThereIsNamedWithTheWayOut(t *testing.T) {
	t.Parallel()
	_, err := process.New(process.Config{Program: "/nonexistent/flotilla-helm"})
	if err == nil || !strings.Contains(err.Error(), "beside flotilla-spoke") || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the error is %v", err)
	}
}

func TestAProcessIsTheFirstToGoWithoutMemory(t *testing.T) {
	t.Parallel()
	runner, err := process.New(process.Config{Program: mustExecutable(t)})
	if err != nil {
		t.Fatal(err)
	}
	p, err := runner.Start(t.Context(), unreachable, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if _, err := p.Do(t.Context(), job.Request{Action: job.Observe}); err != nil {
		t.Fatal(err)
	}
	score, err := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", p.(*process.Process).PID()))
	if err != nil || strings.TrimSpace(string(score)) != "1000" {
		t.Errorf("it is %q: %v", score, err)
	}
}

// The Answer is read into the spoke's own memory.
func TestWhatIsTooMuchToTellIsRefused(t *testing.T) {
	b := newBundle(t, process.Config{}, map[string]string{"templates/it.yaml": "{{ range $i := until 20 }}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: it-{{ $i }}}\ndata: {a: {{ repeat 1000000 \"a\" }}}\n{{ end }}\n"})
	p := b.start(t.Context())
	answer, err := p.Do(t.Context(), job.Request{Action: job.Render})
	if err != nil || answer.Failure == nil || !strings.Contains(answer.Failure.Message, "16 MiB can be told") || len(answer.Objects) != 0 {
		t.Fatalf("%v, %+v with %d objects", err, answer.Failure, len(answer.Objects))
	}
	if answer, err := p.Do(t.Context(), job.Request{Action: job.Observe}); err != nil || answer.Failure != nil {
		t.Errorf("it does nothing after it: %v, %+v", err, answer.Failure)
	}
}
