package sdk_test

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/spoke/helm/job"
)

func (b *bundle) uninstalling(o flux.HelmUninstall) *bundle {
	b.job.Plan.Spec.Uninstall = &o
	return b
}

func TestUninstallKeepHistory(t *testing.T) {
	b := newBundle(t)
	b.done(job.Install)
	b.done(job.Upgrade)
	b.archive = nil // it is not needed
	b.uninstalling(flux.HelmUninstall{KeepHistory: true})
	gone := b.done(job.Uninstall)
	b.historyIs(gone, "2 uninstalled, 1 superseded")
	if len(gone.History) == 0 || gone.History[0].Deleted.IsZero() {
		t.Error("it is not told when it was deleted")
	}
	b.historyIs(b.done(job.Uninstall), "2 uninstalled, 1 superseded")
	b.uninstalling(flux.HelmUninstall{}).historyIs(b.done(job.Uninstall), "")
}

func TestUninstallRunsHooksUnlessDisabled(t *testing.T) {
	b := newBundle(t)
	b.chart("1.0.0", map[string]string{"templates/hook.yaml": pod("hook", hookOf("pre-delete")+", demo/fail: crash")})
	b.done(job.Install)
	if f := b.fails(job.Uninstall, "hook is Failed"); f.Reason != "UninstallFailed" {
		t.Errorf("it is %+v", f)
	}
	if b.data("it") == nil {
		t.Error("the objects are gone")
	}
	b.uninstalling(flux.HelmUninstall{DisableHooks: true}).historyIs(b.done(job.Uninstall), "")
}

func TestUninstallWaitsUnlessDisabled(t *testing.T) {
	b := newBundle(t)
	b.chart("1.0.0", map[string]string{"templates/it.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: it, finalizers: [test.example.com/held]}\n"})
	b.done(job.Install)
	b.job.Controls.Uninstall = time.Second
	failed := b.do(job.Request{Action: job.Uninstall})
	b.failed(failed, "ConfigMap/"+b.namespace+"/it is Terminating", "longer than 1s")
	b.edit("it", `{"metadata": {"finalizers": null}}`)

	b.done(job.Install)
	b.uninstalling(flux.HelmUninstall{DisableWait: true}).historyIs(b.done(job.Uninstall), "")
	b.edit("it", `{"metadata": {"finalizers": null}}`)
}

func TestUninstallDeletionPropagation(t *testing.T) {
	b := newBundle(t)
	b.chart("1.0.0", map[string]string{"templates/web.yaml": deployment("web", "")})
	b.done(job.Install)
	b.uninstalling(flux.HelmUninstall{DeletionPropagation: "orphan"}).done(job.Uninstall)
	sets, err := b.typed.AppsV1().ReplicaSets(b.namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil || len(sets.Items) != 1 || len(sets.Items[0].OwnerReferences) != 0 {
		t.Errorf("orphaned are %d ReplicaSets, %v", len(sets.Items), err)
	}
}
