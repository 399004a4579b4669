package lab_test

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	applycore "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"flotilla.dev/flotilla/test/lab"
)

func TestRequestsAreCountedAtTheAPIServer(t *testing.T) {
	t.Parallel()
	client, namespace := fresh(t)
	cluster := lab.TestCluster(t)
	before, err := cluster.Requests(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	object := applycore.ConfigMap("app", namespace).WithData(map[string]string{"key": "value"})
	for _, dryRun := range [][]string{{metav1.DryRunAll}, nil} {
		_, err := client.CoreV1().ConfigMaps(namespace).Apply(t.Context(), object,
			metav1.ApplyOptions{FieldManager: "tester", Force: true, DryRun: dryRun})
		if err != nil {
			t.Fatal(err)
		}
	}

	after, err := cluster.Requests(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	applied := after[len(before):].Where(func(r lab.Request) bool {
		return r.Verb == "patch" && r.Resource == "configmaps" && r.Namespace == namespace && r.Name == "app"
	})
	if len(applied) != 2 || !applied[0].DryRun || applied[1].DryRun {
		t.Fatalf("requests: %+v, want a dry run and an apply", applied)
	}
	// A dry run of what is not there yet creates nothing, but answers as if it had.
	want := lab.Request{
		Verb: "patch", Version: "v1", Resource: "configmaps", Namespace: namespace, Name: "app",
		Path:         "/api/v1/namespaces/" + namespace + "/configmaps/app",
		FieldManager: "tester", Force: true, User: "lab:admin", Code: 201,
	}
	got := applied[1]
	if !strings.HasPrefix(got.UserAgent, "lab.test/") || got.Received.IsZero() {
		t.Errorf("user agent %q at %s", got.UserAgent, got.Received)
	}
	if got.UserAgent, got.Received = "", want.Received; got != want {
		t.Errorf("apply = %+v\nwant    %+v", got, want)
	}
}

func TestWatchIsCountedWhenItBegins(t *testing.T) {
	t.Parallel()
	client, namespace := fresh(t)
	watch, err := client.CoreV1().Secrets(namespace).Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Stop()

	requests, err := lab.TestCluster(t).Requests(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	watches := requests.Where(func(r lab.Request) bool { return r.Verb == "watch" && r.Namespace == namespace })
	if len(watches) != 1 || watches[0].Resource != "secrets" {
		t.Errorf("watches: %+v, want one of secrets", watches)
	}
}

func TestUserMayDoWhatRBACSays(t *testing.T) {
	t.Parallel()
	_, namespace := fresh(t)
	config, err := lab.TestCluster(t).RESTFor("nobody-in-particular")
	if err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.CoreV1().Secrets(namespace).List(t.Context(), metav1.ListOptions{})
	if !apierrors.IsForbidden(err) {
		t.Errorf("listing secrets: %v, want forbidden", err)
	}
}

func TestKilledAPIServerComesBackWithItsObjects(t *testing.T) {
	t.Parallel()
	cluster, client := ownCluster(t, lab.ClusterConfig{NoControllers: true})
	createConfigMap(t, client)

	cluster.KillAPIServer()
	if _, err := client.CoreV1().ConfigMaps("default").Get(t.Context(), "app", metav1.GetOptions{}); err == nil {
		t.Error("a killed API server answered")
	}
	if err := cluster.StartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}

	if _, err := client.CoreV1().ConfigMaps("default").Get(t.Context(), "app", metav1.GetOptions{}); err != nil {
		t.Errorf("after it came back: %v", err)
	}
}

func TestStoppedClusterStartsAgainOnItsDirectory(t *testing.T) {
	t.Parallel()
	config := lab.ClusterConfig{Dir: t.TempDir(), NoControllers: true}
	cluster, client := ownCluster(t, config)
	createConfigMap(t, client)
	if err := cluster.Stop(); err != nil {
		t.Fatal(err)
	}
	if found := processesOf(t, config.Dir); len(found) > 0 {
		t.Errorf("still running after Stop: %q", found)
	}

	_, client = ownCluster(t, config)
	if _, err := client.CoreV1().ConfigMaps("default").Get(t.Context(), "app", metav1.GetOptions{}); err != nil {
		t.Errorf("started again: %v", err)
	}
}

func TestKubeconfigServesOtherPrograms(t *testing.T) {
	t.Parallel()
	config, err := clientcmd.BuildConfigFromFlags("", lab.TestCluster(t).Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	version, err := client.Discovery().ServerVersion()
	if err != nil || version.Major != "1" || !strings.HasPrefix(version.GitVersion, "v1.") {
		t.Errorf("version = %+v, %v", version, err)
	}
}

func TestFailedStartSaysWhy(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, err := lab.StartCluster(t.Context(), lab.ClusterConfig{Dir: dir, APIServerArgs: []string{"--no-such-flag"}})
	if err == nil || !strings.Contains(err.Error(), "unknown flag: --no-such-flag") {
		t.Errorf("error = %v, want the API server's own words", err)
	}
	if found := processesOf(t, dir); len(found) > 0 {
		t.Errorf("still running: %q", found)
	}
}

// ownCluster is for a test that harms it.
func ownCluster(t *testing.T, config lab.ClusterConfig) (*lab.Cluster, kubernetes.Interface) {
	t.Helper()
	cluster, err := lab.StartCluster(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Stop(); err != nil {
			t.Error(err)
		}
	})
	client, err := kubernetes.NewForConfig(cluster.REST())
	if err != nil {
		t.Fatal(err)
	}
	return cluster, client
}

func createConfigMap(t *testing.T, client kubernetes.Interface) {
	t.Helper()
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "app"}}
	if _, err := client.CoreV1().ConfigMaps("default").Create(t.Context(), object, metav1.CreateOptions{}); err != nil {
		t.Fatal(fmt.Errorf("create: %w", err))
	}
}
