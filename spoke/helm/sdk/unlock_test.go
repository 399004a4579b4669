package sdk_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"helm.sh/helm/v4/pkg/release/common"
	release "helm.sh/helm/v4/pkg/release/v1"
	"helm.sh/helm/v4/pkg/storage"
	"helm.sh/helm/v4/pkg/storage/driver"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"flotilla.dev/flotilla/spoke/helm/job"
)

// leavePending has a version be as an interrupted upgrade leaves it.
func (b *bundle) leavePending(version int) {
	b.Helper()
	releases := storage.Init(driver.NewSecrets(b.typed.CoreV1().Secrets(b.namespace)))
	found, err := releases.Get("app", version)
	if err != nil {
		b.Fatal(err)
	}
	r := found.(*release.Release)
	r.SetStatus(common.StatusPendingUpgrade, "")
	if err := releases.Update(r); err != nil {
		b.Fatal(err)
	}
}

func TestUnlockMarksFailedWhatAnInterruptedActionLeftPending(t *testing.T) {
	b := newBundle(t)
	b.historyIs(b.done(job.Unlock), "") // nothing is there
	b.done(job.Install)
	b.historyIs(b.done(job.Unlock), "1 deployed") // nothing is locked
	b.leavePending(1)
	if f := b.fails(job.Upgrade, "another operation"); f.Began {
		t.Errorf("it is %+v", f)
	}
	b.archive = nil // it is not needed
	b.historyIs(b.do(job.Request{Action: job.Unlock, Version: 1}), "1 failed")
	b.chart("1.0.0", nil)
	b.historyIs(b.done(job.Upgrade), "2 deployed, 1 superseded")
}

// cut begins an action, and cuts it short when it is on its way.
func (b *bundle) cut(r job.Request, when func() bool) job.Answer {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	answers := make(chan job.Answer, 1)
	s := b.session()
	go func() { answers <- s.Do(ctx, r) }()
	b.eventually("the action is on its way", when)
	cancel()
	select {
	case answer := <-answers:
		return answer
	case <-time.After(30 * time.Second):
		b.Fatal("it goes on after it was cut short")
		return job.Answer{}
	}
}

func (b *bundle) eventually(what string, is func() bool) {
	b.Helper()
	deadline := time.Now().Add(time.Minute)
	for !is() {
		if time.Now().After(deadline) {
			b.Fatal("not within a minute: ", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func TestAnActionThatIsCutShortIsAnsweredAndItsVersionFailed(t *testing.T) {
	b := newBundle(t)
	slow := map[string]string{"templates/hook.yaml": pod("hook", hookOf(`"pre-install,pre-upgrade,pre-rollback,pre-delete,test"`)+`, demo/run: "true"`)}
	b.chart("1.0.0", slow)
	running := func() bool { return b.isThere("hook") }
	away := func() bool {
		err := b.typed.CoreV1().Pods(b.namespace).Delete(b.Context(), "hook", metav1.DeleteOptions{})
		return err != nil
	}
	check := func(answer job.Answer, want string) {
		b.Helper()
		f := b.failed(answer, "it was cut short")
		if !f.Transient || !f.Began || f.Invalid {
			t.Errorf("it is %+v", f)
		}
		b.historyIs(answer, want)
		b.eventually("the hook is gone", away)
	}
	check(b.cut(job.Request{Action: job.Install}, running), "1 failed")
	check(b.cut(job.Request{Action: job.Upgrade}, running), "2 failed, 1 failed")
	check(b.cut(job.Request{Action: job.Rollback, Version: 1}, running), "3 failed, 2 failed, 1 failed")
	check(b.cut(job.Request{Action: job.Test}, running), "3 failed, 2 failed, 1 failed")
	if b.data("it") != nil {
		t.Error("what comes after the hook was done all the same")
	}
	// What is uninstalled half goes on from there.
	answer := b.cut(job.Request{Action: job.Uninstall}, running)
	b.failed(answer, "it was cut short")
	b.eventually("the hook is gone", away)
}

func TestAnInterruptedCallIsTransient(t *testing.T) {
	b := newBundle(t)
	b.job.Connection.Host = "https://127.0.0.1:1"
	for _, action := range []job.Action{job.Observe, job.Install, job.Uninstall, job.Unlock} {
		if f := b.fails(action, "connection refused"); !f.Transient || f.Began || f.Invalid {
			t.Errorf("%s: %+v", action, f)
		}
	}
}

func TestActionsActAsTheAccount(t *testing.T) {
	b := newBundle(t)
	b.putConfigMap("values", map[string]string{"values.yaml": "a: 1\n"})
	if _, err := b.typed.CoreV1().ServiceAccounts(b.namespace).Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "tenant"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	b.job.Connection.User = "system:serviceaccount:" + b.namespace + ":tenant"
	f := b.fails(job.Install, "configmaps", fmt.Sprintf("User %q cannot", b.job.Connection.User))
	if f.Began || f.Invalid || f.Transient {
		t.Errorf("it is %+v", f)
	}
}

func TestWhatIsCutShortBeforeItBeginsChangesNothing(t *testing.T) {
	b := newBundle(t)
	b.done(job.Install)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, r := range []job.Request{{Action: job.Uninstall}, {Action: job.Upgrade}, {Action: job.Rollback, Version: 1}, {Action: job.Test}} {
		if f := b.failed(b.session().Do(ctx, r), "it was cut short"); !f.Transient || f.Began {
			t.Errorf("%s: %+v", r.Action, f)
		}
	}
	b.historyIs(b.done(job.Observe), "1 deployed")
	if b.data("it") == nil {
		t.Error("the objects are gone")
	}
}
