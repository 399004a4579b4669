package lab

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// TestNamespace makes a namespace of the test's own and returns its name. The namespace's deletion begins when the
// test ends; nobody waits for it.
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
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = namespaces.Delete(ctx, namespace.Name, metav1.DeleteOptions{}) // it may be gone, or the API server killed
	})
	return namespace.Name
}
