package sdk_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/spoke/helm/job"
	"flotilla.dev/flotilla/spoke/helm/sdk"
	"flotilla.dev/flotilla/test/lab"
)

func TestMain(m *testing.M) { lab.Main(m) }

// bundle is a test's own: a namespace, and a Job for an App in it.
type bundle struct {
	*testing.T
	cluster   *lab.Cluster
	typed     kubernetes.Interface
	dynamic   dynamic.Interface
	namespace string
	job       job.Job
	archive   []byte
}

func newBundle(t *testing.T) *bundle {
	t.Helper()
	t.Parallel()
	cluster := lab.TestCluster(t)
	typed, err := kubernetes.NewForConfig(cluster.REST())
	if err != nil {
		t.Fatal(err)
	}
	untyped, err := dynamic.NewForConfig(cluster.REST())
	if err != nil {
		t.Fatal(err)
	}
	b := &bundle{T: t, cluster: cluster, typed: typed, dynamic: untyped, namespace: lab.TestNamespace(t, cluster)}
	config := cluster.REST()
	b.job = job.Job{
		App:     fleet.Key{Home: fleet.HubHome, Kind: "HelmRelease", Namespace: b.namespace, Name: "app"},
		Release: "app", Namespace: b.namespace, Storage: b.namespace, Timeout: time.Minute, Plain: true,
		Connection: job.Connection{Host: config.Host, CAData: config.CAData, CAFile: config.CAFile, CertData: config.CertData, CertFile: config.CertFile, KeyData: config.KeyData, KeyFile: config.KeyFile},
		Plan:       flux.HelmPlan{Chart: flux.HelmArtifact{Revision: "1.0.0", Source: "HelmChart/" + b.namespace + "/app"}},
	}
	b.chart("1.0.0", nil)
	return b
}

// chart packs the chart "app", with a ConfigMap "it" of the value a and what else there is.
func (b *bundle) chart(version string, files map[string]string) {
	b.Helper()
	all := map[string]string{
		"Chart.yaml":        "apiVersion: v2\nname: app\nversion: " + version + "\nappVersion: v" + version + "\n",
		"values.yaml":       "a: default\n",
		"templates/it.yaml": configMap("it", "a: {{ .Values.a | quote }}"),
	}
	maps.Copy(all, files)
	for name, content := range files {
		if content == "" {
			delete(all, name)
		}
	}
	packed, err := lab.PackChart(all)
	if err != nil {
		b.Fatal(err)
	}
	b.archive = packed.Archive
}

func configMap(name, data string) string {
	return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + "}\ndata: {" + data + "}\n"
}

func (b *bundle) values(text string) { b.job.Plan.Spec.Values = json.RawMessage(text) }

// session is a process of the SDK, without the process.
func (b *bundle) session() *sdk.SDK {
	b.Helper()
	s, err := sdk.New(b.job, b.archive)
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// do does an action in a session of its own.
func (b *bundle) do(r job.Request) job.Answer {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), 2*time.Minute)
	defer cancel()
	return b.session().Do(ctx, r)
}

// done is an answer to an action that must not fail.
func (b *bundle) done(action job.Action) job.Answer {
	b.Helper()
	answer := b.do(job.Request{Action: action})
	if answer.Failure != nil {
		b.Fatalf("%s: %+v", action, answer.Failure)
	}
	return answer
}

// fails is the failure of an action, which must name all of these.
func (b *bundle) fails(action job.Action, parts ...string) *job.Failure {
	b.Helper()
	return b.failed(b.do(job.Request{Action: action}), parts...)
}

func (b *bundle) failed(answer job.Answer, parts ...string) *job.Failure {
	b.Helper()
	if answer.Failure == nil {
		b.Fatalf("it did not fail: %s", history(answer))
	}
	for _, part := range parts {
		if !strings.Contains(answer.Failure.Message, part) {
			b.Errorf("%q is not in: %s", part, answer.Failure.Message)
		}
	}
	return answer.Failure
}

// history is that of an answer, as "2 deployed, 1 superseded".
func history(answer job.Answer) string {
	var out []string
	for _, snapshot := range answer.History {
		out = append(out, fmt.Sprint(snapshot.Version, " ", snapshot.Status))
	}
	return strings.Join(out, ", ")
}

func (b *bundle) historyIs(answer job.Answer, want string) {
	b.Helper()
	if got := history(answer); got != want {
		b.Errorf("the history is %q, want %q", got, want)
	}
}

// data is that of a ConfigMap; nil: it is not there.
func (b *bundle) data(name string) map[string]string {
	b.Helper()
	configMap, err := b.typed.CoreV1().ConfigMaps(b.namespace).Get(b.Context(), name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		b.Fatal(err)
	}
	return configMap.Data
}

func (b *bundle) putConfigMap(name string, data map[string]string) {
	b.Helper()
	_, err := b.typed.CoreV1().ConfigMaps(b.namespace).Create(b.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: data}, metav1.CreateOptions{})
	if err != nil {
		b.Fatal(err)
	}
}

func (b *bundle) putSecret(name string, data map[string]string) {
	b.Helper()
	_, err := b.typed.CoreV1().Secrets(b.namespace).Create(b.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}, StringData: data}, metav1.CreateOptions{})
	if err != nil {
		b.Fatal(err)
	}
}

// pod is a Pod that runs once; annotations as YAML without braces.
func pod(name, annotations string) string {
	return "apiVersion: v1\nkind: Pod\nmetadata: {name: " + name + ", annotations: {" + annotations + "}}\nspec: {restartPolicy: Never, containers: [{name: a, image: a}]}\n"
}

// deployment has one Pod; annotations are the Pod's.
func deployment(name, annotations string) string {
	return "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: " + name + "}\nspec:\n  selector: {matchLabels: {app: " + name + "}}\n" +
		"  template:\n    metadata: {labels: {app: " + name + "}, annotations: {" + annotations + "}}\n    spec: {containers: [{name: a, image: a}]}\n"
}

// hookOf is an annotation.
func hookOf(event string) string { return `"helm.sh/hook": ` + event }

// isThere reports whether a Pod is.
func (b *bundle) isThere(pod string) bool {
	b.Helper()
	_, err := b.typed.CoreV1().Pods(b.namespace).Get(b.Context(), pod, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		b.Fatal(err)
	}
	return err == nil
}

// edit has somebody else change a ConfigMap.
func (b *bundle) edit(name, patch string) {
	b.Helper()
	_, err := b.typed.CoreV1().ConfigMaps(b.namespace).Patch(b.Context(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{FieldManager: "kubectl-edit"})
	if err != nil {
		b.Fatal(err)
	}
}
