package e2e

import (
	"fmt"
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
    metadata: {labels: {app: web}, annotations: {demo/fail: "%s"}}
    spec: {containers: [{name: web, image: registry.example.com/web:2}]}
`

func TestDeploymentThatNeverBecomesReadyFailsWithTheReasonOfItsPods(t *testing.T) {
	t.Parallel()
	fleet := lab.TestFleet(t)
	a := newApp(t, fleet)
	a.settle()
	a.push(map[string]string{"deploy/web.yaml": fmt.Sprintf(deployment, a.namespace, "image")})
	a.lookNow()
	a.says("ks/app@"+fleet.Members[0].Name(), "Ready", "False HealthCheckFailed")
	a.says("ks/app@"+fleet.Members[0].Name(), "Ready", "registry.example.com/web:2")
	a.says("ks/app", "Ready", "False")
	a.push(map[string]string{"deploy/web.yaml": fmt.Sprintf(deployment, a.namespace, "")})
	a.settle()
	a.says("ks/app", "Ready", "True")
}
