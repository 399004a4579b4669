package e2e

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"flotilla.dev/flotilla/test/lab"
)

// Nothing tells a spoke that what hindered an App is mended in its cluster, and the interval is an hour.
func TestAnAppThatFailedIsTriedAgainAtItsRetryInterval(t *testing.T) {
	t.Parallel()
	a := newApp(t, lab.TestFleet(t), "retryInterval: 1h", "retryInterval: 2s")
	late := a.fails()
	late.mend()
	late.comes()
}

// An interval that is changed acts at once, on what failed before too, and with no new Release.
func TestAnAppWithoutARetryIntervalIsTriedAgainAtItsInterval(t *testing.T) {
	t.Parallel()
	a := newApp(t, lab.TestFleet(t), " retryInterval: 1h,", "")
	late := a.fails()
	late.mend()
	ref := "ks/app@" + late.m.Name()
	before := a.get(ref)
	if got := before.condition("Ready"); !strings.HasPrefix(got, "False") {
		t.Errorf("%s is %s an hour before it is tried again", ref, got)
	}
	a.apply(strings.Replace(a.declared, "{interval: 1h, timeout", "{interval: 2s, timeout", 1))
	late.comes()
	if after := a.get(ref); after.Status.Fleet.Release != before.Status.Fleet.Release {
		t.Errorf("with another interval it is at release %s, before at %s", after.Status.Fleet.Release, before.Status.Fleet.Release)
	}
}

// hindered is an app in a cluster that lacks the Namespace of one of its objects.
type hindered struct {
	*app
	m         *lab.Member
	namespace string
}

// fails brings an object for which there is no Namespace.
func (a *app) fails() hindered {
	a.t.Helper()
	a.settle()
	h := hindered{a, a.fleet.Members[0], a.namespace + "-late"}
	late := *a
	late.namespace = h.namespace
	a.push(map[string]string{"deploy/late.yaml": late.configMap("late", "1")})
	a.lookNow()
	a.says("ks/app@"+h.m.Name(), "Ready", "False ReconciliationFailed")
	return h
}

// mend makes the Namespace.
func (h hindered) mend() {
	h.t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: h.namespace}}
	if _, err := h.client(h.m).CoreV1().Namespaces().Create(h.t.Context(), namespace, metav1.CreateOptions{}); err != nil {
		h.t.Fatal(err)
	}
}

// comes waits until the object is there, and the App ready.
func (h hindered) comes() {
	h.t.Helper()
	late := *h.app
	late.namespace = h.namespace
	late.data(h.m, "late", map[string]string{"value": "1"})
	h.says("ks/app@"+h.m.Name(), "Ready", "True")
}
