package deploy_test

import (
	"fmt"
	"strings"
	"testing"

	"flotilla.dev/flotilla/pkg/fleet"
)

func (b *bundle) healthy(want fleet.ConditionStatus) {
	b.Helper()
	b.eventually("health", func() error {
		if s := b.status(); s.Healthy.Status != want {
			return fmt.Errorf("it is %+v", s)
		}
		return nil
	})
}

func TestADeploymentIsHealthyWhenItsPodsAre(t *testing.T) {
	b := newBundle(t).start()
	b.deploy(b.deployment("web", ""), b.configMap("a", "1"))
	if s := b.status(); s.Healthy.Status != fleet.Unknown || s.Objects != 2 {
		t.Errorf("right after the pass the status is %+v", s)
	}
	b.healthy(fleet.True)

	b.judged()
	b.canary() // with it ConfigMaps are watched, if they were not
	b.comesToRest()

	// What becomes unhealthy later is seen without a pass.
	b.patch(deployments, "web", "someone", `{"spec":{"replicas":2,"template":{"metadata":{"annotations":{"demo/fail":"image"}}}}}`)
	b.healthy(fleet.Unknown)
}

func TestADeploymentThatCannotPullItsImageSaysSo(t *testing.T) {
	b := newBundle(t).start()
	b.deploy(b.deployment("web", annotations("demo/fail", "image")))
	b.eventually("the reason is that of its Pod", func() error {
		s := b.status()
		if len(s.NotReady) != 1 || s.ObjectsNotReady != 1 || s.Healthy.Status == fleet.True {
			return fmt.Errorf("status %+v", s)
		}
		if m := s.NotReady[0].Message; !strings.HasPrefix(m, "ErrImagePull") && !strings.HasPrefix(m, "ImagePullBackOff") {
			return fmt.Errorf("message %q", m)
		}
		return nil
	})
	b.deploy(b.deployment("web", ""))
	b.healthy(fleet.True)
	b.judged()
	b.canary() // with it ConfigMaps are watched, if they were not
	b.comesToRest()
}

func TestADeploymentPastItsDeadlineHasFailed(t *testing.T) {
	b := newBundle(t).start()
	b.deploy(strings.Replace(b.deployment("web", annotations("demo/fail", "crash")), `"spec":{"rev`, `"spec":{"progressDeadlineSeconds":1,"rev`, 1))
	b.healthy(fleet.False)
	// That it is past its deadline may be seen before its Pod says why.
	b.eventually("the reason is that of its Pod", func() error {
		if s := b.status(); !s.Failed || !strings.Contains(s.Healthy.Message, "CrashLoopBackOff") {
			return fmt.Errorf("status %+v", s)
		}
		return nil
	})
}

func TestAJobIsHealthyWhenItHasCompleted(t *testing.T) {
	b := newBundle(t).start()
	b.deploy(fmt.Sprintf(`{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"once","namespace":%q},"spec":{"template":{
		"metadata":{"annotations":{"demo/fail":"slow","demo/slow":"1s"}},
		"spec":{"restartPolicy":"Never","containers":[{"name":"main","image":"example.com/app:1"}]}}}}`, b.namespace))
	b.healthy(fleet.Unknown)
	b.healthy(fleet.True)
}
