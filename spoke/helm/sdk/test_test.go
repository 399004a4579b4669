package sdk_test

import (
	"testing"
	"time"

	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/spoke/helm/job"
)

func TestTestsRunAndAreToldOf(t *testing.T) {
	b := newBundle(t)
	b.done(job.Install)
	untested := b.done(job.Observe).History[0]
	if untested.TestHooks != nil {
		t.Errorf("it was tested: %v", untested.TestHooks)
	}
	if tested := b.done(job.Test).History[0]; tested.TestHooks == nil || len(tested.TestHooks) != 0 {
		t.Errorf("a release without tests has %v", tested.TestHooks)
	}
	b.chart("2.0.0", map[string]string{"templates/tests/good.yaml": pod("good", hookOf("test")), "templates/tests/bad.yaml": pod("bad", hookOf("test")+", demo/fail: crash")})
	upgraded := b.done(job.Upgrade).History[0]
	answer := b.do(job.Request{Action: job.Test})
	if f := b.failed(answer, "Pod/"+b.namespace+"/bad is Failed"); f.Reason != "TestFailed" || !f.Began {
		t.Errorf("it is %+v", f)
	}
	tested := answer.History[0]
	if h := tested.TestHooks["bad"]; h == nil || h.Phase != "Failed" || h.LastStarted.IsZero() || h.LastCompleted.IsZero() {
		t.Errorf("the tests are %+v", tested.TestHooks)
	}
	if tested.Digest != upgraded.Digest {
		t.Error("a test makes another digest")
	}

	b.job.Plan.Spec.Test = &flux.HelmTest{Filters: []flux.HelmTestFilter{{Name: "bad", Exclude: true}}}
	answer = b.done(job.Test)
	if h := answer.History[0].TestHooks; len(h) != 1 || h["good"].Phase != "Succeeded" {
		t.Errorf("the tests that were chosen are %+v", h)
	}
	b.job.Plan.Spec.Test.Filters = []flux.HelmTestFilter{{Name: "good"}}
	b.done(job.Test)
	b.job.Plan.Spec.Test.Filters = []flux.HelmTestFilter{{Name: "bad"}}
	b.fails(job.Test, "bad is Failed")
	b.historyIs(b.done(job.Observe), "2 deployed, 1 superseded")
}

func TestTestTimeout(t *testing.T) {
	b := newBundle(t)
	b.chart("1.0.0", map[string]string{"templates/tests/long.yaml": pod("long", hookOf("test")+`, demo/run: "true"`)})
	b.done(job.Install)
	b.job.Controls.Test = time.Second
	b.fails(job.Test, "Pod/"+b.namespace+"/long is InProgress", "longer than 1s")
}
