package process_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"archive/tar"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/spoke/helm/job"
	"flotilla.dev/flotilla/spoke/helm/process"
	"flotilla.dev/flotilla/test/lab"
)

// tight are bounds that a good chart keeps within; an install has 3 s of processor time more, as it may wait for a minute.
var tight = process.Config{Memory: 192 << 20, CPU: 3 * time.Second, Wall: time.Minute}

const canary = "c4n4ry-value"

// said is what an action of a hostile chart comes to: a failure of the action, or of the process.
func (b *bundle) said(action job.Action) (text string, invalid bool) {
	b.Helper()
	p := b.start(b.Context())
	answer, err := p.Do(b.Context(), job.Request{Action: action})
	switch {
	case err != nil:
		if _, again := p.Do(b.Context(), job.Request{Action: action}); again == nil {
			b.Error("a process that has ended does something")
		}
		return err.Error(), errors.Is(err, fleet.ErrInvalid)
	case answer.Failure != nil:
		return answer.Failure.Message, answer.Failure.Invalid
	}
	b.Error("it has not failed")
	return "", false
}

func TestAHostileChartEndsWithinItsBounds(t *testing.T) {
	for name, tc := range map[string]struct {
		template string
		want     string
	}{
		"memory in a list":     {`{{ range until 1000000000 }}x{{ end }}`, "more memory than the 192 MiB"},
		"memory in a text":     {`{{ $x := "` + canary + `" }}{{ range until 40 }}{{ $x = printf "%s%s" $x $x }}{{ end }}{{ $x }}`, "more memory than the 192 MiB"},
		"memory in a function": {`{{ repeat 1000000000 "` + canary + `" }}`, "more memory than the 192 MiB"},
		"time":                 {`{{ range until 3000 }}{{ range until 3000 }}{{ range until 3000 }}{{ end }}{{ end }}{{ end }}`, "more than 6s of processor time"},
		"a template in itself": {`{{ define "x" }}{{ include "x" . }}{{ end }}{{ include "x" . }}`, "templates/hostile.yaml|192 MiB|too deep"},
		"deep nesting":         {`{{ $x := dict }}{{ range until 3000000 }}{{ $x = dict "a" $x }}{{ end }}{{ toYaml $x }}`, "192 MiB|too deep|6s of processor time"},
		"a panic":              {`{{ index (list 1 2) 5 }}{{ substr 5 1 "` + canary + `" }}`, "templates/hostile.yaml|panicked|crashed"},
		"YAML aliases":         {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n" + bomb(), "192 MiB|excessive aliasing|6s of processor time|crashed|templates/hostile.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			bounds := tight
			if name == "time" {
				bounds.Memory = 512 << 20
			}
			b := newBundle(t, bounds, map[string]string{"templates/hostile.yaml": tc.template})
			text, invalid := b.said(job.Install)
			if !invalid || strings.Contains(text, "apiVersion") {
				t.Errorf("it is invalid: %v: %s", invalid, text)
			}
			for _, want := range strings.Split(tc.want, "|") {
				if strings.Contains(text, want) {
					return
				}
			}
			t.Errorf("none of %q is in: %s", tc.want, text)
		})
	}
}

// bomb is YAML of ten to the ninth letters.
func bomb() string {
	out := "  a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
	for i := 1; i < 9; i++ {
		out += fmt.Sprintf("  a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i-1), 10), ","))
	}
	return out
}

func TestValuesThatGrowWithoutEndEndWithinTheBounds(t *testing.T) {
	b := newBundle(t, tight, nil)
	client, err := kubernetes.NewForConfig(lab.TestCluster(t).REST())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.CoreV1().ConfigMaps(b.job.Namespace).Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "bomb"}, Data: map[string]string{"values.yaml": "a:\n" + bomb()},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	b.job.Plan.Spec.ValuesFrom = []flux.HelmValuesReference{{Kind: "ConfigMap", Name: "bomb"}}
	text, invalid := b.said(job.Prepare)
	if !invalid || !strings.Contains(text, "192 MiB") && !strings.Contains(text, "excessive aliasing") && !strings.Contains(text, "processor time") {
		t.Errorf("it is invalid: %v: %s", invalid, text)
	}
}

func TestAHugeArchiveIsRefused(t *testing.T) {
	b := newBundle(t, tight, nil)
	var out bytes.Buffer
	zipped := gzip.NewWriter(&out)
	files := tar.NewWriter(zipped)
	const size = 2 << 30
	err := files.WriteHeader(&tar.Header{Name: "app/values.yaml", Typeflag: tar.TypeReg, Mode: 0o644, Size: size})
	zeros := make([]byte, 1<<20)
	for range size / len(zeros) {
		if err == nil {
			_, err = files.Write(zeros)
		}
	}
	if err := errors.Join(err, files.Close(), zipped.Close()); err != nil {
		t.Fatal(err)
	}
	b.chart = out.Bytes()
	if text, invalid := b.said(job.Prepare); !invalid || !strings.Contains(text, "the chart of HelmChart/x/app cannot be read") && !strings.Contains(text, "192 MiB") {
		t.Errorf("it is invalid: %v: %s", invalid, text)
	}
	b.chart = []byte("no archive")
	if text, invalid := b.said(job.Prepare); !invalid || !strings.Contains(text, "the chart of HelmChart/x/app cannot be read") {
		t.Errorf("it is invalid: %v: %s", invalid, text)
	}
}

func TestTemplatesReachNothingOfTheMachine(t *testing.T) {
	for name, tc := range map[string]struct{ template, want string }{
		"environment":          {`{{ env "PATH" }}`, `function "env" not defined`},
		"expanded environment": {`{{ expandenv "$PATH" }}`, `function "expandenv" not defined`},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBundle(t, tight, map[string]string{"templates/hostile.yaml": tc.template})
			if text, invalid := b.said(job.Install); !invalid || !strings.Contains(text, tc.want) {
				t.Errorf("it is invalid: %v: %s", invalid, text)
			}
		})
	}
	b := newBundle(t, tight, map[string]string{"templates/it.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: it}\n" +
		`data: {dns: {{ getHostByName "localhost" | quote }}, file: {{ .Files.Get "/etc/hostname" | quote }}}` + "\n"})
	answer, err := b.start(t.Context()).Do(t.Context(), job.Request{Action: job.Render})
	if err != nil || answer.Failure != nil {
		t.Fatal(err, answer.Failure)
	}
	if got := string(answer.Objects[0]); !strings.Contains(got, `"data":{"dns":"","file":""}`) {
		t.Errorf("templates see %s", got)
	}
}

// A template looks up what the account may read, and nothing else.
func TestLookupActsAsTheAccount(t *testing.T) {
	b := newBundle(t, tight, map[string]string{"templates/it.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: it}\ndata: {a: {{ (lookup \"v1\" \"Secret\" \"kube-system\" \"\") | toJson | quote }}}\n"})
	b.job.Connection.User = "system:serviceaccount:" + b.job.Namespace + ":tenant"
	text, _ := b.said(job.Render)
	if !strings.Contains(text, "cannot list resource") && !strings.Contains(text, "cannot get resource") || !strings.Contains(text, "forbidden") {
		t.Errorf("it is %s", text)
	}
}

// TestNothingOfTheSpokesEnvironmentIsPassedOn reads it as the kernel has it.
func TestNothingOfTheSpokesEnvironmentIsPassedOn(t *testing.T) {
	t.Setenv("FLOTILLA_CANARY", canary)
	t.Setenv("HTTPS_PROXY", "")
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
	environment, err := os.ReadFile(filepath.Join("/proc", fmt.Sprint(p.(*process.Process).PID()), "environ"))
	if err != nil {
		t.Fatal(err)
	}
	if text := string(environment); strings.Contains(text, canary) || strings.Contains(text, "PATH=") || !strings.Contains(text, "GOMEMLIMIT=") {
		t.Errorf("the environment is %q", strings.Split(text, "\x00"))
	}
}

// unreachable is a Job for a cluster that is not there.
var unreachable = job.Job{
	App: fleet.Key{Home: fleet.HubHome, Kind: "HelmRelease", Namespace: "apps", Name: "app"}, Release: "app", Namespace: "apps", Storage: "apps",
	Connection: job.Connection{Host: "https://127.0.0.1:1"},
}

func mustExecutable(t testing.TB) string {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return program
}
