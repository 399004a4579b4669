package deploy_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"flotilla.dev/flotilla/pkg/fleet"
)

// A ConfigMap and the Deployment that mounts it change together: whatever Pod the new Deployment has was made after the
// ConfigMap was what it should be. The API server's resourceVersions tell which was first.
func TestNoPodOfADeploymentStartsWithTheConfigurationBefore(t *testing.T) {
	b := newBundle(t).start()
	pods, err := b.typed.CoreV1().Pods(b.namespace).Watch(b.Context(), metav1.ListOptions{LabelSelector: "app=web"})
	if err != nil {
		t.Fatal(err)
	}
	defer pods.Stop()
	for revision := 1; revision <= 5; revision++ {
		value := fmt.Sprint(revision)
		web := strings.Replace(b.deployment("web", annotations("revision", value)), `"containers":[`,
			`"volumes":[{"name":"config","configMap":{"name":"config"}}],"containers":[`, 1)
		b.deploy(web, b.configMap("config", value))
		config := b.get(configMaps, "config")
		b.value(configMaps, "config", value, "data", "key")
		for started := false; !started; {
			select {
			case event, open := <-pods.ResultChan():
				if !open {
					t.Fatal("the watch ended")
				}
				pod, isPod := event.Object.(*corev1.Pod)
				if !isPod || event.Type != watch.Added || pod.Annotations["revision"] != value {
					continue
				}
				started = true
				if number(t, pod.ResourceVersion) < number(t, config.GetResourceVersion()) {
					t.Errorf("revision %d: Pod %s was made at %s, the ConfigMap at %s", revision, pod.Name, pod.ResourceVersion, config.GetResourceVersion())
				}
			case <-t.Context().Done():
				t.Fatalf("revision %d has no Pod", revision)
			}
		}
		b.healthy(fleet.True)
	}
}

func number(t *testing.T, version string) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(version, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
