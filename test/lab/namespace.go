package lab

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// TestNamespace makes a namespace of the test's own and returns its name. It stays until the cluster goes: to empty one,
// Kubernetes asks for the objects of every kind that there is, which cost more than most tests, and whoever waits for a
// namespace to go would wait for those of all tests before.
func TestNamespace(t testing.TB, cluster *Cluster) string {
	t.Helper()
	client, err := kubernetes.NewForConfig(cluster.REST())
	if err != nil {
		t.Fatalf("test namespace: %v", err)
	}
	namespaces := client.CoreV1().Namespaces()
	namespace, err := namespaces.Create(t.Context(), &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("test namespace: %v", err)
	}
	return namespace.Name
}
