package e2e

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"flotilla.dev/flotilla/test/lab"
)

const deployment = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: %s}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}, annotations: {%s}}
    spec: {containers: [{name: web, image: registry.example.com/web:2}]}
`

func TestDeploymentThatNeverBecomesReadyFailsWithTheReasonOfItsPods(t *testing.T) {
	t.Parallel()
	fleet := lab.TestFleet(t)
	for _, test := range []struct {
		name, annotations string
		// reasons are what the Pod goes through; the report has one of them.
		reasons []string
		words   string
	}{
		{"image", `demo/fail: image`, []string{"ErrImagePull", "ImagePullBackOff"}, "registry.example.com/web:2"},
		{"crash", `demo/fail: crash`, []string{"Error", "CrashLoopBackOff"}, "container web of Pod web-"},
		{"slow", `demo/fail: slow, demo/slow: 1h`, []string{"InProgress", "Available", "ContainersNotReady"}, "not healthy within 2s"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t, fleet, "timeout: 30s", "timeout: 2s")
			a.settle()
			a.push(map[string]string{"deploy/web.yaml": fmt.Sprintf(deployment, a.namespace, test.annotations)})
			a.lookNow()
			for _, m := range fleet.Members {
				a.says("ks/app@"+m.Name(), "Ready", "False HealthCheckFailed")
				a.says("ks/app@"+m.Name(), "Ready", test.words)
				a.notReady(m, "Deployment", "web", test.reasons)
			}
			a.says("ks/app", "Ready", "False")
			if got := a.get("ks/app").Status.Fleet; got.Failed != len(fleet.Members) || got.Ready != 0 {
				t.Errorf("ks/app counts %+v", got)
			}
			a.push(map[string]string{"deploy/web.yaml": fmt.Sprintf(deployment, a.namespace, "")})
			a.lookNow()
			a.says("ks/app", "Ready", "True")
		})
	}
}

// notReady waits until the first of what is not ready in a cluster is an object for one of the reasons, and describe
// tells it.
func (a *app) notReady(m *lab.Member, kind, name string, reasons []string) {
	a.t.Helper()
	ref := "ks/app@" + m.Name()
	lab.Eventually(a.t, patience, kind+"/"+name+" is named by "+ref, func() error {
		list := a.get(ref).Status.Fleet.NotReady
		if len(list) == 0 || list[0].Object.Kind != kind || list[0].Object.Name != name {
			return fmt.Errorf("not ready: %+v", list)
		}
		gives := func(text string) bool {
			return slices.ContainsFunc(reasons, func(reason string) bool { return strings.Contains(text, reason) })
		}
		if !gives(list[0].Message) {
			return errors.New(list[0].Message)
		}
		described := a.fleetctl("describe", ref)
		if want := kind + "/" + a.namespace + "/" + name; !strings.Contains(described, want) || !gives(described) {
			return fmt.Errorf("describe does not tell of %s:\n%s", want, described)
		}
		return nil
	})
}
