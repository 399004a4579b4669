package sdk_test

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/spoke/helm/job"
)

func (b *bundle) rollingBack(o flux.HelmRollback) *bundle {
	b.job.Plan.Spec.Rollback = &o
	return b
}

func (b *bundle) back(to int) job.Answer {
	b.Helper()
	answer := b.do(job.Request{Action: job.Rollback, Version: to})
	if answer.Failure != nil {
		b.Fatalf("rollback: %+v", answer.Failure)
	}
	return answer
}

func TestRollbackIsToTheVersionThatIsAskedFor(t *testing.T) {
	b := newBundle(t)
	b.values(`{"a": "1"}`)
	b.done(job.Install)
	for _, values := range []string{`{"a": "2"}`, `{"a": "3"}`} {
		b.values(values)
		b.done(job.Upgrade)
	}
	b.archive = nil // it is not needed
	answer := b.back(1)
	b.historyIs(answer, "4 deployed, 3 superseded, 2 superseded, 1 superseded")
	if s := answer.History; s[0].Action != "rollback" || s[0].ConfigDigest != s[3].ConfigDigest || b.data("it")["a"] != "1" {
		t.Errorf("the history is %+v", s)
	}
	if f := b.failed(b.do(job.Request{Action: job.Rollback, Version: 9}), "version 9"); f.Reason != "RollbackFailed" || f.Began || !f.Invalid {
		t.Errorf("it is %+v", f)
	}
	b.failed(b.do(job.Request{Action: job.Rollback}), "version 0")
}

func TestRollbackOptionsForWaitingAndHooks(t *testing.T) {
	b := newBundle(t)
	b.chart("1.0.0", map[string]string{"templates/web.yaml": deployment("web", "demo/fail: image"), "templates/hook.yaml": pod("hook", hookOf("pre-rollback")+", demo/fail: crash")})
	b.installing(flux.HelmInstall{DisableWait: true}).done(job.Install)
	b.chart("2.0.0", nil)
	b.done(job.Upgrade)
	b.job.Controls.Rollback = 2 * time.Second
	// Helm leaves a version pending whose hook failed.
	failed := b.do(job.Request{Action: job.Rollback, Version: 1})
	if f := b.failed(failed, "hook is Failed"); !f.Began {
		t.Errorf("it is %+v", f)
	}
	b.historyIs(failed, "3 pending-rollback, 2 deployed, 1 superseded")
	b.historyIs(b.done(job.Unlock), "3 failed, 2 deployed, 1 superseded")
	b.rollingBack(flux.HelmRollback{DisableHooks: true})
	failed = b.do(job.Request{Action: job.Rollback, Version: 1})
	b.failed(failed, "web is InProgress", "longer than 2s")
	b.historyIs(failed, "4 failed, 3 failed, 2 deployed, 1 superseded")
	b.rollingBack(flux.HelmRollback{DisableHooks: true, DisableWait: true})
	b.historyIs(b.back(1), "5 deployed, 4 failed, 3 failed, 2 superseded, 1 superseded")
}

func TestRollbackServerSideApplyAndForce(t *testing.T) {
	b := newBundle(t)
	no := false
	b.values(`{"a": "1"}`)
	b.installing(flux.HelmInstall{ServerSideApply: &no}).done(job.Install)
	b.values(`{"a": "2"}`)
	b.done(job.Upgrade)
	b.edit("it", `{"data": {"added": "by hand"}}`)
	b.back(1)
	if got := b.data("it"); got["a"] != "1" || got["added"] != "by hand" {
		t.Errorf("as it was before, by the client, it is %v", got)
	}
	b.rollingBack(flux.HelmRollback{Force: true}).back(2)
	if got := b.data("it"); got["a"] != "2" || len(got) != 1 {
		t.Errorf("forced it is %v", got)
	}
	b.rollingBack(flux.HelmRollback{ServerSideApply: "enabled"}).back(1)
	if got := b.manager(); got != "helm-controller Apply" {
		t.Errorf("it is managed by %s", got)
	}
}

func TestRollbackWaitsForJobsUnlessDisabled(t *testing.T) {
	b := newBundle(t)
	running := "apiVersion: batch/v1\nkind: Job\nmetadata: {name: batch}\nspec:\n  template:\n" +
		"    metadata: {annotations: {demo/run: \"true\"}}\n    spec: {restartPolicy: Never, containers: [{name: a, image: a}]}\n"
	b.chart("1.0.0", map[string]string{"templates/batch.yaml": running})
	b.installing(flux.HelmInstall{DisableWait: true}).done(job.Install)
	b.chart("2.0.0", nil)
	b.done(job.Upgrade)
	b.job.Controls.Rollback = 3 * time.Second
	b.failed(b.do(job.Request{Action: job.Rollback, Version: 1}), "batch is InProgress")
	b.rollingBack(flux.HelmRollback{DisableWaitForJobs: true}).back(1)
}

func TestRollbackCleanupOnFail(t *testing.T) {
	b := newBundle(t)
	b.chart("1.0.0", map[string]string{"templates/old.yaml": configMap("old", "a: b"), "templates/web.yaml": configMap("web", "a: b")})
	b.done(job.Install)
	b.chart("2.0.0", nil)
	b.done(job.Upgrade)
	yes := true
	if _, err := b.typed.CoreV1().ConfigMaps(b.namespace).Create(t.Context(), &corev1.ConfigMap{ // it cannot be what it was
		ObjectMeta: metav1.ObjectMeta{Name: "web"}, Data: map[string]string{"a": "other"}, Immutable: &yes,
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, clean := range []bool{true, false} { // what is left would not be the next one's
		b.rollingBack(flux.HelmRollback{CleanupOnFail: clean})
		b.failed(b.do(job.Request{Action: job.Rollback, Version: 1}), "web")
		if is := b.data("old") != nil; is == clean {
			t.Errorf("cleaned up: %v; what the failed rollback made is there: %v", clean, is)
		}
	}
}
