package e2e

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"flotilla.dev/flotilla/test/lab"
)

// Nothing tells a spoke that what hindered an App is mended in its cluster, and the interval is an hour.
func TestAnAppThatFailedIsTriedAgainAtItsRetryInterval(t *testing.T) {
	t.Parallel()
	fleet := lab.TestFleet(t)
	a := newApp(t, fleet, "retryInterval: 1h", "retryInterval: 2s")
	a.settle()
	m := fleet.Members[0]
	late := *a
	late.namespace += "-late"
	a.push(map[string]string{"deploy/late.yaml": late.configMap("late", "1")})
	a.lookNow()
	a.says("ks/app@"+m.Name(), "Ready", "False ReconciliationFailed")
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: late.namespace}}
	if _, err := a.client(m).CoreV1().Namespaces().Create(t.Context(), namespace, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	late.data(m, "late", map[string]string{"value": "1"})
	a.says("ks/app@"+m.Name(), "Ready", "True")
}
