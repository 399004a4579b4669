package helm

import (
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/spoke/helm/job"
)

func TestAChangeThatAFailedPassHasSeenIsStillToBeLookedAt(t *testing.T) {
	b := newBundle(t)
	b.plan.Spec.ValuesFrom = []flux.HelmValuesReference{{Kind: "ConfigMap", Name: "values", Optional: true}}
	target := b.deploy("web@1")
	wakes := b.engine.Status(b.app).Wakes
	values := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "values"}}
	if _, err := b.client.CoreV1().ConfigMaps(b.namespace).Create(t.Context(), values, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	b.until("the App is woken", func() bool { return b.engine.Status(b.app).Wakes > wakes })
	b.helm.fails(job.Prepare, beforeStored, &job.Failure{Reason: "ValuesError", Message: "they are no YAML"})
	for range 2 {
		b.refused(target, "ValuesError")
	}
	b.helm.says(nil)
	processes := b.helm.processes()
	if err := b.try(target); err != nil {
		t.Fatal(err)
	}
	if n := b.helm.processes() - processes; n != 1 {
		t.Errorf("%d processes looked at it, want 1", n)
	}
}

func TestAfterWhatCouldNotBePreparedTheReleaseIsWatchedOn(t *testing.T) {
	b := newBundle(t)
	target := b.deploy("web@1")
	b.helm.fails(job.Prepare, beforeStored, errors.New("no"))
	if err := b.try(b.target("web@2")); err == nil {
		t.Fatal("a bad chart was deployed")
	}
	b.helm.says(nil)
	if err := b.try(target); err != nil {
		t.Fatal(err)
	}
	wakes := b.engine.Status(b.app).Wakes
	if err := b.client.CoreV1().Secrets(b.namespace).Delete(t.Context(), "sh.helm.release.v1.app.v1", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	b.until("the App is woken", func() bool { return b.engine.Status(b.app).Wakes > wakes })
}
