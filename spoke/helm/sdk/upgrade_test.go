package sdk_test

import (
	"testing"
	"time"

	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/spoke/helm/job"
)

// upgrading has an option of spec.upgrade.
func (b *bundle) upgrading(o flux.HelmUpgrade) *bundle {
	b.job.Plan.Spec.Upgrade = &o
	return b
}

func TestUpgradeWithoutAReleaseSaysSo(t *testing.T) {
	b := newBundle(t)
	if f := b.fails(job.Upgrade, "has no deployed releases"); f.Began || f.Reason != "UpgradeFailed" {
		t.Errorf("it is %+v", f)
	}
}

func TestUpgradeOptionsForWaiting(t *testing.T) {
	b := newBundle(t)
	b.done(job.Install)
	b.chart("2.0.0", map[string]string{"templates/web.yaml": deployment("web", "demo/fail: image")})
	b.job.Controls.Upgrade = 2 * time.Second
	failed := b.do(job.Request{Action: job.Upgrade})
	if f := b.failed(failed, "web is InProgress", "longer than 2s"); !f.Began || f.Invalid || f.Transient {
		t.Errorf("it is %+v", f)
	}
	b.historyIs(failed, "2 failed, 1 deployed")
	b.upgrading(flux.HelmUpgrade{DisableWait: true}).historyIs(b.done(job.Upgrade), "3 deployed, 2 failed, 1 superseded")
}

func TestUpgradeDisableHooks(t *testing.T) {
	b := newBundle(t)
	b.done(job.Install)
	b.chart("2.0.0", map[string]string{"templates/hook.yaml": pod("hook", hookOf("pre-upgrade")+", demo/fail: crash")})
	b.fails(job.Upgrade, "pre-upgrade", "hook is Failed")
	b.upgrading(flux.HelmUpgrade{DisableHooks: true}).done(job.Upgrade)
}

func TestUpgradeDisableWaitForJobs(t *testing.T) {
	b := newBundle(t)
	b.done(job.Install)
	b.chart("2.0.0", map[string]string{"templates/batch.yaml": "apiVersion: batch/v1\nkind: Job\nmetadata: {name: batch}\nspec:\n  template:\n" +
		"    metadata: {annotations: {demo/run: \"true\"}}\n    spec: {restartPolicy: Never, containers: [{name: a, image: a}]}\n"})
	b.job.Controls.Upgrade = 3 * time.Second
	b.fails(job.Upgrade, "batch is InProgress")
	b.upgrading(flux.HelmUpgrade{DisableWaitForJobs: true}).done(job.Upgrade)
}

func TestUpgradeDisableSchemaValidation(t *testing.T) {
	b := newBundle(t)
	b.done(job.Install)
	b.chart("2.0.0", map[string]string{"values.schema.json": `{"required": ["needed"]}`})
	b.fails(job.Upgrade, "missing property 'needed'")
	b.upgrading(flux.HelmUpgrade{DisableSchemaValidation: true}).done(job.Upgrade)
}

func TestUpgradeDisableTakeOwnership(t *testing.T) {
	b := newBundle(t)
	b.done(job.Install)
	b.putConfigMap("other", map[string]string{"a": "somebody's"})
	b.chart("2.0.0", map[string]string{"templates/other.yaml": configMap("other", "a: ours")})
	b.upgrading(flux.HelmUpgrade{DisableTakeOwnership: true}).fails(job.Upgrade, `ConfigMap "other"`, "cannot be imported")
	b.upgrading(flux.HelmUpgrade{}).done(job.Upgrade)
	if got := b.data("other")["a"]; got != "ours" {
		t.Errorf("the value is %q", got)
	}
}

func TestUpgradeForceReplacesWhatCannotBeChanged(t *testing.T) {
	b := newBundle(t)
	no := false
	b.installing(flux.HelmInstall{ServerSideApply: &no})
	b.chart("1.0.0", map[string]string{"templates/it.yaml": configMap("it", "a: b")})
	b.done(job.Install)
	b.edit("it", `{"data": {"added": "by hand"}}`)
	b.values(`{"a": "2"}`)
	b.done(job.Upgrade)
	if got := b.data("it")["added"]; got != "by hand" {
		t.Errorf("an upgrade makes %q of what was added", got)
	}
	b.values(`{"a": "3"}`)
	b.upgrading(flux.HelmUpgrade{Force: true}).done(job.Upgrade)
	if got := b.data("it"); len(got) != 1 {
		t.Errorf("a forced upgrade leaves %v", got)
	}
}

func TestUpgradePreserveValues(t *testing.T) {
	b := newBundle(t)
	b.values(`{"a": "kept"}`)
	b.done(job.Install)
	b.values(`{"other": 1}`)
	b.upgrading(flux.HelmUpgrade{PreserveValues: true}).done(job.Upgrade)
	if got := b.data("it")["a"]; got != "kept" {
		t.Errorf("the value is %q", got)
	}
	b.upgrading(flux.HelmUpgrade{}).done(job.Upgrade)
	if got := b.data("it")["a"]; got != "default" {
		t.Errorf("the value is %q when values are not preserved", got)
	}
}

func TestUpgradeCleanupOnFail(t *testing.T) {
	b := newBundle(t)
	b.done(job.Install)
	b.chart("2.0.0", map[string]string{"templates/new.yaml": configMap("new", "a: b"), "templates/web.yaml": deployment("web", "demo/fail: image")})
	b.job.Controls.Upgrade = time.Second
	b.fails(job.Upgrade, "web is")
	if b.data("new") == nil {
		t.Error("what a failed upgrade made is gone")
	}
	b.chart("2.0.0", map[string]string{"templates/newer.yaml": configMap("newer", "a: b"), "templates/web.yaml": deployment("web", "demo/fail: image")})
	b.upgrading(flux.HelmUpgrade{CleanupOnFail: true}).fails(job.Upgrade, "web is")
	if b.data("newer") != nil {
		t.Error("what a failed upgrade made is still there")
	}
}

func TestMaxHistory(t *testing.T) {
	b := newBundle(t)
	b.done(job.Install)
	for range 6 {
		b.done(job.Upgrade)
	}
	b.historyIs(b.done(job.Observe), "7 deployed, 6 superseded, 5 superseded, 4 superseded, 3 superseded")
	two := 2
	b.job.Plan.Spec.MaxHistory = &two
	b.historyIs(b.done(job.Upgrade), "8 deployed, 7 superseded")
	none := 0
	b.job.Plan.Spec.MaxHistory = &none
	b.done(job.Upgrade)
	b.historyIs(b.done(job.Upgrade), "10 deployed, 9 superseded, 8 superseded, 7 superseded")
}
